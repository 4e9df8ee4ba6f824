package report

import (
	"encoding/json"
	"io"
	"sync"
	"time"

	"seedbed/node"
)

// JSON prints one object a line. The fields of each event are part of
// the command line's contract: docs/manual.md lists them.
type JSON struct {
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

// NewJSON returns a reporter that prints JSON lines to w.
func NewJSON(w io.Writer) *JSON {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return &JSON{enc: enc, nodes: -1, seen: map[*node.Torrent]jsonPeers{}, told: map[*node.Torrent]jsonProgress{}}
}

// Head begins every event.
type Head struct {
	Event    string `json:"event"`
	Time     string `json:"time"`
	InfoHash string `json:"infohash,omitempty"`
}

type jsonError struct {
	Head
	Error string `json:"error"`
	Hint  string `json:"hint"`
}

// NewHead returns the beginning of an event; t may be nil.
func NewHead(event string, at time.Time, t *node.Torrent) Head {
	h := Head{Event: event, Time: at.Format(time.RFC3339Nano)}
	if t != nil {
		h.InfoHash = t.InfoHash().String()
	}
	return h
}

// headOf is the head of an event.
func headOf(event string, e *node.Event) Head {
	h := NewHead(event, e.Time, nil)
	if !e.InfoHash.IsZero() {
		h.InfoHash = e.InfoHash.String()
	}
	return h
}

// Put prints v, which begins with a Head. The caller makes sure that no two calls overlap.
func (r *JSON) Put(v any) {
	// A reader that went away is noticed by the command's signal handling, not here.
	_ = r.enc.Encode(v)
}

func (r *JSON) Event(e node.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	switch e.Kind {
	case node.Listening:
		r.Put(struct {
			Head
			Addr string `json:"addr"`
		}{headOf("listening", &e), e.Addr})
	case node.Added:
		r.Put(struct {
			Head
			Magnet string `json:"magnet"`
		}{headOf("added", &e), e.Magnet})
	case node.Metadata:
		info := e.Info
		r.Put(struct {
			Head
			Name        string `json:"name"`
			Size        int64  `json:"size"`
			Pieces      int    `json:"pieces"`
			PieceLength int64  `json:"piece_length"`
			Files       []File `json:"files"`
			Torrent     string `json:"torrent,omitempty"`
		}{headOf("metadata", &e), info.Name, info.Payload(), info.NumPieces(), info.PieceLength, Files(info), e.Path})
	case node.FirstPiece:
		r.Put(headOf("first_piece", &e))
	case node.Complete:
		r.Put(headOf("complete", &e))
	case node.Seeding:
		r.Put(struct {
			Head
			Magnet string `json:"magnet"`
			Addr   string `json:"addr"`
		}{headOf("seeding", &e), e.Magnet, e.Addr})
	case node.Seeded:
		r.Put(struct {
			Head
			Uploaded int64   `json:"uploaded"`
			Ratio    float64 `json:"ratio"`
		}{headOf("seeded", &e), e.Uploaded, e.Ratio})
	case node.PublishedItem:
		r.Put(struct {
			jsonVersion
			Kept  int `json:"kept"`
			Nodes int `json:"nodes"`
		}{versionJSON("published", &e), e.Publication.Kept, e.Publication.Nodes})
	case node.FoundVersion:
		r.Put(versionJSON("version", &e))
	case node.SwitchedVersion:
		r.Put(struct {
			jsonVersion
			Dir     string `json:"dir"`
			Reused  int64  `json:"reused"`
			Fetched int64  `json:"fetched"`
		}{versionJSON("current", &e), e.Publication.Dir, e.Publication.Reused, e.Publication.Fetched})
	case node.Warning:
		r.Put(jsonError{headOf("warning", &e), e.Err.Error(), Hint(e.Err)})
	case node.Failed:
		r.Put(jsonError{headOf("failed", &e), e.Err.Error(), Hint(e.Err)})
	case node.Recovered:
		r.Put(headOf("recovered", &e))
	case node.Removed:
		r.Put(headOf("removed", &e))
	case node.Missed:
		r.Put(headOf("missed", &e))
	}
}

// jsonVersion is about one version of a publication.
type jsonVersion struct {
	Head
	Link string `json:"link"`
	Seq  int64  `json:"seq"`
}

func versionJSON(event string, e *node.Event) jsonVersion {
	return jsonVersion{headOf(event, e), e.Publication.Link, e.Publication.Seq}
}

func (*JSON) Every() time.Duration { return time.Second }

func (r *JSON) Tick(n *node.Node, ts []*node.Torrent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	now := time.Now()
	if nodes := n.DHTNodes(); nodes != r.nodes && !(r.nodes < 0 && nodes == 0) {
		r.nodes = nodes
		r.Put(struct {
			Head
			Nodes int `json:"nodes"`
		}{NewHead("dht", now, nil), nodes})
	}
	if a := n.Announcing(); a.Torrents > 0 && (a.Late != r.late || a.Stretched != r.stretched) {
		r.late, r.stretched = a.Late, a.Stretched
		r.Put(struct {
			Head
			Torrents int     `json:"torrents"`
			Late     int     `json:"late"`
			Interval float64 `json:"interval_s"`
		}{NewHead("announcing", now, nil), a.Torrents, a.Late, a.Interval.Seconds()})
	}
	for _, t := range ts {
		s := t.Snapshot()
		if p := (jsonPeers{s.Known, s.Connected, s.Banned, jsonDrops(s.Dropped)}); p != r.seen[t] {
			r.seen[t] = p
			r.Put(struct {
				Head
				jsonPeers
			}{NewHead("peers", now, t), p})
		}
		if !s.Metadata {
			continue
		}
		p := jsonProgress{s.HaveWanted, s.Wanted, int64(s.DownRate), int64(s.UpRate), s.Connected, s.Seeds}
		if s.State == node.SeedingState && p == r.told[t] {
			continue // of ten thousand that are shared, those that nobody asks for
		}
		r.told[t] = p
		r.Put(struct {
			Head
			jsonProgress
		}{NewHead("progress", now, t), p})
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

func (r *JSON) Ready([]*node.Torrent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Put(NewHead("ready", time.Now(), nil))
}

func (r *JSON) Streaming(t *node.Torrent, files []Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, f := range files {
		r.Put(struct {
			Head
			File int    `json:"file"`
			Path string `json:"path"`
			Size int64  `json:"size"`
			URL  string `json:"url"`
		}{NewHead("streaming", time.Now(), t), f.Number, f.Path, f.Size, f.URL})
	}
}

func (r *JSON) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.Put(jsonError{NewHead("error", time.Now(), nil), err.Error(), Hint(err)})
}

func (r *JSON) Close() {}
