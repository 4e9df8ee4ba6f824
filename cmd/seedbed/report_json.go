package main

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"seedbed/node"
)

// jsonReporter prints one object a line. The fields of each event are part of
// the command line's contract: docs/manual.md lists them.
type jsonReporter struct {
	mu        sync.Mutex
	enc       *json.Encoder
	nodes     int // last "dht" told
	late      int // last "announcing" told
	stretched bool
	seen      map[*node.Torrent]jsonPeers // last "peers" told
	told      map[*node.Torrent]jsonProgress
}

// jsonPeers is what is known of the peers of a torrent.
type jsonPeers struct {
	Known     int       `json:"known"`
	Connected int       `json:"connected"`
	Banned    int       `json:"banned"`
	Dropped   jsonDrops `json:"dropped"`
}

// jsonDrops counts connections by what the peer did to end them.
type jsonDrops struct {
	BadData  int `json:"bad_data"`
	Protocol int `json:"protocol"`
	Slow     int `json:"slow"`
	Silent   int `json:"silent"`
}

func newJSONReporter(w io.Writer) *jsonReporter {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &jsonReporter{enc: enc, nodes: -1, seen: map[*node.Torrent]jsonPeers{}, told: map[*node.Torrent]jsonProgress{}}
}

type jsonHead struct {
	Event    string `json:"event"`
	Time     string `json:"time"`
	InfoHash string `json:"infohash,omitempty"`
}

type jsonError struct {
	jsonHead
	Error string `json:"error"`
	Hint  string `json:"hint"`
}

type jsonFile struct {
	Path    string  `json:"path"`
	Size    int64   `json:"size"`
	Spelled *string `json:"spelled,omitempty"` // in the torrent, if the path differs
	Folder  bool    `json:"folder,omitempty"`
	Link    string  `json:"link,omitempty"` // what a symbolic link leads to; ".." is out of the torrent
}

func head(event string, at time.Time, t *node.Torrent) jsonHead {
	h := jsonHead{Event: event, Time: at.Format(time.RFC3339Nano)}
	if t != nil {
		h.InfoHash = t.InfoHash().String()
	}
	return h
}

func (r *jsonReporter) put(v any) {
	// A reader that went away is noticed by the command's signal handling, not here.
	_ = r.enc.Encode(v)
}

func (r *jsonReporter) event(e node.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case node.Listening:
		r.put(struct {
			jsonHead
			Addr string `json:"addr"`
		}{head("listening", e.Time, nil), e.Addr})
	case node.Added:
		r.put(struct {
			jsonHead
			Magnet string `json:"magnet"`
		}{head("added", e.Time, e.Torrent), e.Torrent.Link()})
	case node.Metadata:
		info := e.Torrent.Info()
		r.put(struct {
			jsonHead
			Name        string     `json:"name"`
			Size        int64      `json:"size"`
			Pieces      int        `json:"pieces"`
			PieceLength int64      `json:"piece_length"`
			Files       []jsonFile `json:"files"`
		}{head("metadata", e.Time, e.Torrent), info.Name, info.Payload(), info.NumPieces(), info.PieceLength, jsonFiles(info)})
	case node.FirstPiece:
		r.put(head("first_piece", e.Time, e.Torrent))
	case node.Complete:
		r.put(head("complete", e.Time, e.Torrent))
	case node.Seeding:
		r.put(struct {
			jsonHead
			Magnet string `json:"magnet"`
			Addr   string `json:"addr"`
		}{head("seeding", e.Time, e.Torrent), e.Torrent.Link(), e.Addr})
	case node.Seeded:
		r.put(struct {
			jsonHead
			Uploaded int64   `json:"uploaded"`
			Ratio    float64 `json:"ratio"`
		}{head("seeded", e.Time, e.Torrent), e.Torrent.Uploaded(), e.Torrent.Ratio()})
	case node.PublishedItem:
		r.put(struct {
			jsonVersion
			Kept  int `json:"kept"`
			Nodes int `json:"nodes"`
		}{versionJSON("published", &e), e.Publication.Kept, e.Publication.Nodes})
	case node.FoundVersion:
		r.put(versionJSON("version", &e))
	case node.SwitchedVersion:
		r.put(struct {
			jsonVersion
			Dir     string `json:"dir"`
			Reused  int64  `json:"reused"`
			Fetched int64  `json:"fetched"`
		}{versionJSON("current", &e), e.Publication.Dir, e.Publication.Reused, e.Publication.Fetched})
	case node.Warning:
		r.put(jsonError{head("warning", e.Time, e.Torrent), e.Err.Error(), hintOf(e.Err)})
	}
}

// jsonVersion is about one version of a publication.
type jsonVersion struct {
	jsonHead
	Link string `json:"link"`
	Seq  int64  `json:"seq"`
}

func versionJSON(event string, e *node.Event) jsonVersion {
	return jsonVersion{head(event, e.Time, e.Torrent), e.Publication.Link, e.Publication.Seq}
}

func (*jsonReporter) every() time.Duration { return time.Second }

func (r *jsonReporter) tick(n *node.Node, ts []*node.Torrent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if nodes := n.DHTNodes(); nodes != r.nodes && !(r.nodes < 0 && nodes == 0) {
		r.nodes = nodes
		r.put(struct {
			jsonHead
			Nodes int `json:"nodes"`
		}{head("dht", now, nil), nodes})
	}
	if a := n.Announcing(); a.Torrents > 0 && (a.Late != r.late || a.Stretched != r.stretched) {
		r.late, r.stretched = a.Late, a.Stretched
		r.put(struct {
			jsonHead
			Torrents int     `json:"torrents"`
			Late     int     `json:"late"`
			Interval float64 `json:"interval_s"`
		}{head("announcing", now, nil), a.Torrents, a.Late, a.Interval.Seconds()})
	}
	for _, t := range ts {
		s := t.Snapshot()
		if p := (jsonPeers{s.Known, s.Connected, s.Banned, jsonDrops(s.Dropped)}); p != r.seen[t] {
			r.seen[t] = p
			r.put(struct {
				jsonHead
				jsonPeers
			}{head("peers", now, t), p})
		}
		if !s.Metadata {
			continue
		}
		p := jsonProgress{s.HaveWanted, s.Wanted, int64(s.DownRate), int64(s.UpRate), s.Connected, s.Seeds}
		if s.State == node.SeedingState && p == r.told[t] {
			continue // of ten thousand that are shared, those that nobody asks for
		}
		r.told[t] = p
		r.put(struct {
			jsonHead
			jsonProgress
		}{head("progress", now, t), p})
	}
}

// jsonProgress is how a torrent stands.
type jsonProgress struct {
	Have     int64 `json:"have"`
	Size     int64 `json:"size"`
	DownRate int64 `json:"down_rate"`
	UpRate   int64 `json:"up_rate"`
	Peers    int   `json:"peers"`
	Seeds    int   `json:"seeds"`
}

func (r *jsonReporter) ready([]*node.Torrent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(head("ready", time.Now(), nil))
}

func (r *jsonReporter) streaming(t *node.Torrent, files []streamed) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range files {
		r.put(struct {
			jsonHead
			File int    `json:"file"`
			Path string `json:"path"`
			Size int64  `json:"size"`
			URL  string `json:"url"`
		}{head("streaming", time.Now(), t), f.number, f.path, f.size, f.url})
	}
}

func (r *jsonReporter) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.put(jsonError{head("error", time.Now(), nil), err.Error(), hintOf(err)})
}

func (r *jsonReporter) close() {}
