package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/node"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// Activity is what a torrent does at this moment, step by step: it finds peers, connects to them,
// fetches the metadata, and then the pieces.
type Activity struct {
	State  string      `json:"state" doc:"The phase of the torrent."`
	Why    string      `json:"why,omitempty" doc:"Why it does not move, in one line."`
	Hint   string      `json:"hint,omitempty" doc:"What to do about it."`
	Reason node.Reason `json:"reason" doc:"The same for programs."`

	Lookup   *LookupStep  `json:"lookup,omitempty" doc:"The search for peers in the DHT; left out while the torrent does not run."`
	Peers    PeerStep     `json:"peers"`
	Metadata MetadataStep `json:"metadata"`
	Pieces   PieceStep    `json:"pieces"`
}

// LookupStep is the search for peers in the DHT.
type LookupStep struct {
	Kind  node.LookupKind `json:"kind" doc:"What the DHT does for the torrent now: running, waiting, or why it does nothing."`
	Asked int             `json:"asked" doc:"The number of nodes that were asked so far, while a lookup runs, or of bootstrap hosts."`
	Next  float64         `json:"next_s" doc:"The time until the next lookup."`
	Last  *LastLookup     `json:"last,omitempty" doc:"The last lookup that has ended in this run."`
}

// LastLookup is what a lookup has found.
type LastLookup struct {
	Ended    time.Time `json:"ended" doc:"When it ended."`
	Took     float64   `json:"took_ms"`
	Asked    int       `json:"asked" doc:"The number of nodes that were asked."`
	Answered int       `json:"answered" doc:"The number of those that answered."`
	Peers    int       `json:"peers" doc:"The number of peers that they returned."`
	New      int       `json:"new" doc:"The number of those that were not known."`
	Accepted int       `json:"accepted" doc:"The number of nodes that accepted our announce."`
}

// PeerStep is the connections to peers. The counts of dials are those of this run.
type PeerStep struct {
	Known       int              `json:"known" doc:"Addresses that are known."`
	Dialing     int              `json:"dialing" doc:"Addresses that are being dialed."`
	Tried       int              `json:"tried" doc:"Addresses that were dialed."`
	Unreachable int              `json:"unreachable" doc:"Of those, the ones that have never answered."`
	Connected   int              `json:"connected"`
	Seeds       int              `json:"seeds" doc:"Connected peers that have everything."`
	ChokedBy    int              `json:"choked_by" doc:"Connected peers that choke us while we want something."`
	Banned      int              `json:"banned"`
	Dropped     view.Drops       `json:"dropped" doc:"Connections that were closed because of the peer."`
	Dials       int64            `json:"dials" doc:"Dials that have ended."`
	Accepted    int64            `json:"accepted" doc:"Dials that the peer accepted."`
	Handshaken  int64            `json:"handshaken" doc:"Of those, the ones that have completed the handshake."`
	Encrypted   int64            `json:"encrypted" doc:"Of those, the encrypted ones."`
	Failed      map[string]int64 `json:"failed" doc:"Dials and handshakes that failed, by cause: refused, timed_out, unreachable, closed, other_torrent or other."`
}

// MetadataStep is the transfer of the metadata.
type MetadataStep struct {
	Known  bool  `json:"known"`
	Peers  int   `json:"peers" doc:"Connected peers that were asked for it."`
	Offers int   `json:"offers" doc:"Connections that have offered it in this run."`
	Have   int64 `json:"have" doc:"Bytes."`
	Size   int64 `json:"size" doc:"Bytes; 0 until a peer has sent it."`
}

// PieceStep is the transfer of the pieces.
type PieceStep struct {
	Total     int     `json:"total"`
	Have      int     `json:"have" doc:"Verified pieces."`
	HashFails int     `json:"hash_fails" doc:"Pieces that were wrong, in this run."`
	Copies    float64 `json:"copies" doc:"Copies of the data that the connected peers have together."`
}

// LogEntry is an event in the log of a torrent.
type LogEntry struct {
	Time  time.Time `json:"time"`
	Event string    `json:"event" doc:"As in the event stream; or state, when the state has changed."`
	Text  string    `json:"text"`
	Hint  string    `json:"hint,omitempty" doc:"What to do about it."`
}

// TorrentLog is the log of a torrent.
type TorrentLog struct {
	Entries []LogEntry `json:"entries" doc:"The last 50 events, oldest first."`
}

func (a *api) addActivity() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/torrents/{id}/activity", "get-activity", "Show what a torrent does now, step by step", token.Read), a.activity)
	log := operation(http.MethodGet, "/v1/torrents/{id}/log", "get-log", "Show the latest events of a torrent", token.Read)
	log.Description = "The log is in memory: it begins with the start of the daemon, and only the 500 torrents with the latest events have one."
	huma.Register(a.huma, log, a.torrentLog)
}

func (a *api) activity(_ context.Context, in *TorrentPath) (*struct{ Body Activity }, error) {
	t, err := a.Find(in.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	o, s := a.torrent(t), t.Snapshot()
	out := Activity{State: o.State, Why: o.Why, Hint: o.Hint, Reason: o.Reason,
		Peers: PeerStep{Known: s.Known, Dialing: s.Dialing, Tried: s.Tried, Unreachable: s.Refused, Connected: s.Connected, Seeds: s.Seeds, ChokedBy: s.ChokedBy,
			Banned: s.Banned, Dropped: view.Drops(s.Dropped), Failed: map[string]int64{}},
		Metadata: MetadataStep{Known: s.Metadata, Peers: s.MetaPeers, Offers: s.MetaOffers, Have: s.MetaHave, Size: s.MetaSize},
		Pieces:   PieceStep{Total: s.Pieces, Have: s.HavePieces, HashFails: s.HashFails, Copies: s.Availability}}
	if now, ok := t.Activity(); ok {
		out.addRun(&now)
	}
	return &struct{ Body Activity }{out}, nil
}

// addRun adds what only a running torrent has.
func (o *Activity) addRun(now *node.Activity) {
	c := &now.Outcomes
	o.Peers.Dials, o.Peers.Accepted, o.Peers.Handshaken, o.Peers.Encrypted, o.Peers.Failed = c.Dials, c.Connected, c.Handshaken, c.Encrypted, c.Failed
	o.Lookup = &LookupStep{Kind: now.Lookup.Kind, Asked: now.Lookup.Asked, Next: now.Lookup.Next.Seconds()}
	if l := &now.LastLookup; !l.Ended.IsZero() {
		o.Lookup.Last = &LastLookup{l.Ended, view.Millis(l.Took), l.Asked, l.Answered, l.Peers, l.New, l.Accepted}
	}
}

func (a *api) torrentLog(_ context.Context, in *TorrentPath) (*struct{ Body TorrentLog }, error) {
	t, err := a.Find(in.ID)
	if err != nil {
		return nil, a.problem(err)
	}
	out := TorrentLog{Entries: []LogEntry{}}
	for _, e := range a.Log(t.InfoHash()) {
		o := LogEntry{Time: e.Time, Event: "state", Text: e.Text}
		if e.Phase == "" {
			o.Event = view.EventName(e.Kind)
		}
		if e.Err != nil {
			o.Hint = a.cfg.Hint(e.Err)
		}
		out.Entries = append(out.Entries, o)
	}
	return &struct{ Body TorrentLog }{out}, nil
}
