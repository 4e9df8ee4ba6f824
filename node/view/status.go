package view

import (
	"math"
	"time"

	"seedbed/node"
	"seedbed/node/lifecycle"
)

// Torrent is a torrent of a daemon, as it is now.
type Torrent struct {
	Head
	Number int64       `json:"number"` // in this run of the daemon
	Name   string      `json:"name"`
	State  string      `json:"state"` // a phase of node/lifecycle
	Fault  *Fault      `json:"fault,omitempty"`
	Reason node.Reason `json:"reason"` // why it receives nothing
	Magnet string      `json:"magnet"`
	Labels []string    `json:"labels"`
	Dir    string      `json:"dir"` // contains its file or folder
	MoveTo string      `json:"move_to,omitempty"`
	// FinalDir is the folder to which it moves once it is complete.
	FinalDir string `json:"final_dir,omitempty"`
	Category string `json:"category,omitempty"`
	Added    string `json:"added,omitempty"` // RFC 3339, like completed and active
	// Completed is when the wanted files became complete, and Active when payload was last sent
	// or received.
	Completed string `json:"completed,omitempty"`
	Active    string `json:"active,omitempty"`

	Place int    `json:"place,omitempty"` // position in the queue, from 1
	Why   string `json:"why,omitempty"`   // why it does not move: what it waits for, or the reason as a text
	Hint  string `json:"hint,omitempty"`  // what to do about it
	Goals Goals  `json:"goals"`
	// Sequential and FirstLast are the order in which the pieces are requested.
	Sequential bool `json:"sequential"`
	FirstLast  bool `json:"first_last"`
	MaxPeers   int  `json:"max_peers"` // 0: the limit of the node alone

	Finished bool `json:"finished"` // a seeding goal has paused it

	Size       int64 `json:"size"`     // bytes of all files; 0 while that is not known
	Wanted     int64 `json:"wanted"`   // of the wanted files
	Have       int64 `json:"have"`     // of those, verified
	Complete   bool  `json:"complete"` // all of those are verified and under their final names
	ToCheck    int64 `json:"to_check,omitempty"`
	Checked    int64 `json:"checked,omitempty"`
	DownRate   int64 `json:"down_rate"`
	UpRate     int64 `json:"up_rate"`
	DownLimit  int64 `json:"down_limit"` // 0: that of the settings
	UpLimit    int64 `json:"up_limit"`
	Uploaded   int64 `json:"uploaded"` // over all runs, like the next four
	Downloaded int64 `json:"downloaded"`
	Wasted     int64 `json:"wasted"` // of what was downloaded, discarded
	// StoreRequests and StoreRead are what it has asked of the object store in this run of the daemon: requests, and bytes
	// read.
	StoreRequests int64   `json:"store_requests,omitempty"`
	StoreRead     int64   `json:"store_read,omitempty"`
	Downloading   int64   `json:"downloading_s"`
	Seeding       int64   `json:"seeding_s"`
	Ratio         float64 `json:"ratio"`
	Left          *int64  `json:"left_s,omitempty"` // until it is complete, at the current rate

	Peers int `json:"peers"`
	Seeds int `json:"seeds"`
	Known int `json:"known"` // addresses
}

// Goals are the seeding goals of a torrent. Each is that of the settings if it is 0, and none if it
// is negative.
type Goals struct {
	Ratio float64 `json:"ratio"`
	Idle  int64   `json:"idle_s"`
	Time  int64   `json:"time_s"`
}

// GoalsOf returns the form of seeding goals in an object.
func GoalsOf(g node.Goals) Goals {
	return Goals{g.Ratio, int64(g.Idle / time.Second), int64(g.Time / time.Second)}
}

// TorrentFiles is the files of a torrent of a daemon.
type TorrentFiles struct {
	Head
	Files []TorrentFile `json:"files"`
}

// TorrentFile is a file of a torrent of a daemon.
type TorrentFile struct {
	Number int `json:"number"` // from 1
	File
	Selected bool   `json:"selected"`
	Have     int64  `json:"have"`     // bytes, verified
	Priority string `json:"priority"` // low, normal, high or maximum
}

// TorrentPeers is the connected peers of a torrent of a daemon.
type TorrentPeers struct {
	Head
	Connections []Connection `json:"connections"`
}

// Connection is a connected peer of a torrent of a daemon.
type Connection struct {
	Addr      string   `json:"addr"`
	Client    string   `json:"client"`  // as the peer says
	Sources   []string `json:"sources"` // how its address was learned: dht, pex, hint, last_run, incoming, lsd
	Incoming  bool     `json:"incoming"`
	Encrypted bool     `json:"encrypted"` // the handshake was
	WebSeed   bool     `json:"web_seed"`
	// WeWant and WeChoke are about what the peer has and asks for, PeerWants and PeerChokes about
	// what we have and ask for.
	WeWant     bool   `json:"we_want"`
	PeerChokes bool   `json:"peer_chokes"`
	PeerWants  bool   `json:"peer_wants"`
	WeChoke    bool   `json:"we_choke"`
	Optimistic bool   `json:"optimistic"` // it has the upload slot that does not depend on what it sends
	Snubbed    bool   `json:"snubbed"`    // it does not answer our requests
	IsSeed     bool   `json:"is_seed"`    // it has every piece
	V2         bool   `json:"v2"`         // it uses the v2 infohash (BEP 52)
	Transport  string `json:"transport"`  // tcp, utp, or http for a web seed
	// HolePunched says that neither side could dial the other, so that a third peer told both
	// to connect at the same time (BEP 55).
	HolePunched bool    `json:"hole_punched"`
	Share       float64 `json:"share"` // of the pieces that it has, 0 to 1
	DownRate    int64   `json:"down_rate"`
	UpRate      int64   `json:"up_rate"`
	Downloaded  int64   `json:"downloaded"` // from it, over this connection
	Uploaded    int64   `json:"uploaded"`
	Since       int64   `json:"connected_s"`
}

// ConnectionsOf returns the connected peers of a torrent.
func ConnectionsOf(t *node.Torrent) []Connection {
	peers := t.Peers()
	out := make([]Connection, len(peers))
	for i := range peers {
		p := &peers[i]
		out[i] = Connection{Addr: p.Addr.String(), Client: p.Client, Sources: sourcesOf(p.Source), Incoming: p.Incoming, Encrypted: p.Encrypted, WebSeed: p.WebSeed,
			Optimistic: p.Optimistic, Snubbed: p.Snubbed, IsSeed: p.Seed, V2: p.V2, Transport: transportOf(p), HolePunched: p.Punched,
			WeWant: p.Interested, PeerChokes: p.Choked, PeerWants: p.PeerInterested, WeChoke: p.PeerChoked,
			Share: p.Progress, DownRate: int64(p.DownRate), UpRate: int64(p.UpRate), Downloaded: p.Downloaded, Uploaded: p.Uploaded, Since: int64(p.Connected.Seconds())}
	}
	return out
}

func transportOf(p *node.PeerInfo) string {
	switch {
	case p.WebSeed:
		return "http"
	case p.UTP:
		return "utp"
	}
	return "tcp"
}

func sourcesOf(s node.PeerSource) []string {
	out := []string{}
	for i, name := range []string{"dht", "pex", "hint", "last_run", "incoming", "lsd"} { // node.FromDHT and so on
		if s&(1<<i) != 0 {
			out = append(out, name)
		}
	}
	return out
}

// Serving contains an address at which a daemon serves HTTP: a URL, or the path of a unix socket.
type Serving struct {
	Head
	Addr string `json:"addr"`
}

// Page is the web page of a daemon.
type Page struct {
	Head
	URL string `json:"url"` // logs in, once
}

// Token is a token that gives access to a daemon. Token itself is set only when it is new.
type Token struct {
	Head
	ID      string `json:"id"`
	Name    string `json:"name"`
	Scope   string `json:"scope"` // read, add or admin
	Created string `json:"created"`
	Token   string `json:"token,omitempty"`
}

// Imported is a torrent of another client in the session of a daemon.
type Imported struct {
	Head
	Name   string `json:"name"`
	Dir    string `json:"dir"`
	New    bool   `json:"new"`             // otherwise the session had it already, and it is unchanged
	Wanted int64  `json:"wanted"`          // bytes of the wanted files; 0 while that is not known
	Have   int64  `json:"have"`            // of those, taken over
	Sample int64  `json:"sample"`          // bytes that were hashed to confirm them
	Check  string `json:"check,omitempty"` // why all the data is hashed instead
}

// ImportedCategory is a category of another client in the session of a daemon.
type ImportedCategory struct {
	Head
	Name string `json:"name"`
	Dir  string `json:"dir,omitempty"` // for the data of new torrents; left out: that of the daemon
	New  bool   `json:"new"`           // otherwise the session had it already, and it is unchanged
}

// TorrentOf returns what a daemon says of a torrent. hint returns what to do about an error.
func TorrentOf(number int64, t *node.Torrent, hint func(error) string) *Torrent {
	s, d, y := t.Snapshot(), t.Details(), t.Totals()
	o := &Torrent{Head: Head{InfoHash: t.InfoHash().String()}, Number: number, Name: t.Name(), State: phaseOf(t, &s).String(), Reason: s.Reason,
		Magnet: t.Link(), Labels: d.Labels, Dir: d.Dir, MoveTo: d.MoveTo, FinalDir: d.FinalDir, Category: d.Category,
		Sequential: d.Order.Sequential, FirstLast: d.Order.FirstLast, MaxPeers: d.MaxPeers,
		Goals: GoalsOf(d.Goals), Finished: d.Finished,
		Size: s.Size, Wanted: s.Wanted, Have: s.HaveWanted, Complete: s.Metadata && s.HaveWanted == s.Wanted && t.WasComplete(), ToCheck: s.ToCheck, Checked: s.Checked,
		DownRate: int64(s.DownRate), UpRate: int64(s.UpRate), DownLimit: d.DownRate, UpLimit: d.UpRate,
		Uploaded: y.Uploaded, Downloaded: y.Downloaded, Wasted: y.Wasted, Downloading: int64(y.Downloading.Seconds()), Seeding: int64(y.Seeding.Seconds()),
		Peers: s.Connected, Seeds: s.Seeds, Known: s.Known}
	u := t.StoreUsage()
	o.StoreRequests, o.StoreRead = u.Requests, u.Read
	if s.Wanted > 0 {
		o.Ratio = float64(y.Uploaded) / float64(s.Wanted) // as Torrent.Ratio, without two more snapshots
	}
	if o.Labels == nil {
		o.Labels = []string{}
	}
	if s.Paused != nil {
		fault := FaultOf(s.Paused, hint)
		o.Fault = &fault
	}
	switch {
	case o.Fault != nil:
		o.Why, o.Hint = o.Fault.Error, o.Fault.Hint
	case d.Finished:
		o.Why, o.Hint = "a seeding goal has stopped it", "resume it, or raise the goal"
	default:
		o.Why, o.Hint = Why(&s), Advice(&s, hint)
	}
	o.Added, o.Completed, o.Active = timeText(y.Added), timeText(y.Completed), timeText(y.Active)
	if missing := o.Wanted - o.Have; s.State == lifecycle.Downloading && o.DownRate > 0 {
		left := int64(math.Ceil(float64(missing) / float64(o.DownRate)))
		o.Left = &left
	}
	return o
}

// timeText returns a time as it is written in JSON; "" for the zero time.
func timeText(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.Format(time.RFC3339)
}

// phaseOf returns the phase of a torrent. A running swarm knows it better than the lifecycle.
func phaseOf(t *node.Torrent, s *node.Snapshot) lifecycle.Phase {
	if p := t.Phase(); p == lifecycle.Parked {
		return p
	}
	return s.State
}
