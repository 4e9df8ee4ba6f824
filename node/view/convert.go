package view

import (
	"encoding/base64"
	"encoding/hex"
	"errors"
	"net/netip"
	"reflect"
	"strings"
	"time"
	"unicode/utf8"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/reachability"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// NewHead returns an envelope about a torrent, or about none if the infohash is zero.
func NewHead(torrent id.ID, at time.Time) Head {
	h := Head{Time: at.Format(time.RFC3339Nano)}
	if !torrent.IsZero() {
		h.InfoHash = torrent.String()
	}
	return h
}

// Event returns the object of an event, or nil for node.Changed. hint returns what to do about an
// error.
func Event(e *node.Event, hint func(error) string) Object {
	h := NewHead(e.InfoHash, e.Time)
	p := e.Publication
	switch e.Kind {
	case node.Listening:
		return &Listening{h, e.Addr}
	case node.Mapped:
		return &Mapped{h, e.Addr, e.Mapping.Method, e.Mapping.Router.String(), int64(e.Mapping.Lease / time.Second)}
	case node.ReachabilityChanged:
		return &Reachability{h, ReachabilityOf(e.Reachability)}
	case node.NetworkChanged:
		return networkChanged(h, &e.Network)
	case node.Added:
		return &Added{h, e.Magnet}
	case node.Metadata:
		return &Metadata{h, e.Info.Name, e.Info.Payload(), e.Info.NumPieces(), e.Info.PieceLength, Files(e.Info), e.Path}
	case node.FirstPiece:
		return &FirstPiece{h}
	case node.Complete:
		return &Completed{h, e.Path}
	case node.Seeding:
		return &Seeding{h, e.Magnet, e.Addr}
	case node.Seeded:
		return &Seeded{h, string(e.Goal), e.Uploaded, e.Ratio}
	case node.Warning:
		return &Warning{h, FaultOf(e.Err, hint)}
	case node.Recovered:
		return &Recovered{h}
	case node.Failed:
		return &Failed{h, FaultOf(e.Err, hint)}
	case node.Removed:
		return &Removed{h}
	case node.PublishedItem:
		return &Published{h, p.Link, p.Seq, p.Stored, p.Nodes, p.KeepLink}
	case node.FoundVersion:
		return &Version{h, p.Link, p.Seq, foundBy(p.Pushed)}
	case node.SwitchedVersion:
		return &Current{h, p.Link, p.Seq, p.Dir, p.Reused, p.Fetched}
	case node.Missed:
		return &Missed{h}
	}
	return nil
}

func foundBy(isPushed bool) string {
	if isPushed {
		return "push"
	}
	return "poll"
}

func networkChanged(h Head, e *node.NetworkEvent) *NetworkChanged {
	o := &NetworkChanged{Head: h, Family: "ipv4", Interface: e.Interface, Suspended: int64(e.Suspended / time.Second)}
	if e.IPv6 {
		o.Family = "ipv6"
	}
	if e.Addr.IsValid() {
		o.Addr = e.Addr.String()
	}
	if e.Before.IsValid() {
		o.Before = e.Before.String()
	}
	return o
}

// Text returns a sentence without its period.
func (o *NetworkChanged) Text() string {
	family := "IPv4"
	if o.Family == "ipv6" {
		family = "IPv6"
	}
	switch {
	case o.Addr == "":
		return "the network changed: there is no way to the internet over " + family + " any more"
	case o.Suspended > 0 && o.Addr == o.Before:
		return "the network may have changed: this machine was suspended for " + (time.Duration(o.Suspended) * time.Second).String()
	case o.Addr == o.Before:
		return "the network changed: there is a way to the internet over " + family + " again, from " + o.Addr + " (" + o.Interface + ")"
	case o.Before == "":
		return "the network changed: packets to the internet are now sent from " + o.Addr + " (" + o.Interface + ")"
	}
	return "the network changed: packets to the internet are now sent from " + o.Addr + " (" + o.Interface + "), no longer from " + o.Before
}

// EventName returns the name of an event, or "" for node.Changed.
func EventName(k node.EventKind) string {
	e := node.Event{Kind: k, Err: errors.New(""), Info: &metainfo.Info{}, Publication: &node.PublicationEvent{}}
	if o := Event(&e, func(error) string { return "" }); o != nil {
		return names[reflect.TypeOf(o)]
	}
	return ""
}

// PeersOf returns the counts of a torrent's peers.
func PeersOf(s *node.Snapshot) Peers {
	return Peers{Known: s.Known, Connected: s.Connected, Banned: s.Banned, Dropped: Drops(s.Dropped)}
}

// ProgressOf returns the progress of a torrent.
func ProgressOf(s *node.Snapshot) Progress {
	return Progress{Have: s.HaveWanted, Size: s.Wanted, DownRate: int64(s.DownRate), UpRate: int64(s.UpRate), Peers: s.Connected, Seeds: s.Seeds}
}

// Files lists the files of a torrent by their paths in it, with slashes. Padding (BEP 47) is
// left out, so that file number n is the nth in the list.
func Files(info *metainfo.Info) []File {
	out := make([]File, 0, info.Stored())
	for i := range info.Files {
		if f := &info.Files[i]; !f.Pad {
			out = append(out, FileOf(f))
		}
	}
	return out
}

// FileOf returns the object of a file of a torrent.
func FileOf(f *metainfo.File) File {
	file := File{Path: strings.Join(f.Path, "/"), Size: f.Length, Folder: f.Folder, Link: strings.Join(f.Symlink, "/")}
	if f.Spelled != nil {
		spelled := strings.Join(f.Spelled, "/")
		file.Spelled = &spelled
	}
	if f.Symlink != nil && file.Link == "" {
		file.Link = ".."
	}
	return file
}

// ContactOf returns the object of a DHT node; target may be nil.
func ContactOf(c dht.Contact, target *id.ID) Contact {
	j := Contact{ID: c.ID.String(), Addr: c.Addr.String(), RTT: Millis(c.RTT), Client: c.Client, Secure: c.Secure}
	if c.External.IsValid() {
		j.External = AddrText(c.External)
	}
	if target != nil {
		bits := target.CommonPrefix(c.ID)
		j.Bits = &bits
	}
	return j
}

// TableOf returns the objects of the nodes of a routing table, and how many of them are good.
func TableOf(nodes []dht.NodeInfo) (list []Contact, good int) {
	list = []Contact{}
	for _, n := range nodes {
		silent := n.Silent.Seconds()
		list = append(list, Contact{ID: n.ID.String(), Addr: n.Addr.String(), RTT: Millis(n.RTT), Bits: &n.Shared, Good: &n.Good, Secure: n.Secure,
			Silent: &silent, Family: FamilyName(n.Addr.Addr().Is6())})
		if n.Good {
			good++
		}
	}
	return list, good
}

// FamilyName returns the name of an address family.
func FamilyName(v6 bool) string {
	if v6 {
		return "ipv6"
	}
	return "ipv4"
}

// ItemOf returns the object of an item, or nil.
func ItemOf(i *dht.Item) *Item {
	if i == nil {
		return nil
	}
	o := &Item{Mutable: i.Mutable, Value: base64.StdEncoding.EncodeToString(i.Value)}
	if b, ok := i.Value.Bytes(); ok && utf8.Valid(b) {
		o.Text = string(b)
	}
	if i.Mutable {
		o.Key, o.Salt, o.Seq, o.Sig = hex.EncodeToString(i.Key[:]), string(i.Salt), &i.Seq, hex.EncodeToString(i.Sig[:])
	}
	return o
}

// RejectedOf returns the numbers of items that a lookup rejected.
func RejectedOf(g *dht.GetReport) Rejected {
	return Rejected{Oversized: g.Faults.Oversized, WrongHash: g.Faults.Wrong, Unsigned: g.Faults.Unsigned}
}

// AddrText formats an address whose port may be unknown.
func AddrText(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

// LookupOf returns the object of a lookup.
func LookupOf(r *dht.Report) Lookup {
	j := Lookup{Target: r.Target.String(), Asked: r.Asked, Answered: r.Answered,
		Failed: r.Failed, First: Millis(r.First), Took: Millis(r.Took), Closest: []Contact{}}
	if bits, ok := r.Distance(); ok {
		j.Bits = &bits
	}
	for _, c := range r.Closest {
		j.Closest = append(j.Closest, ContactOf(c, &r.Target))
	}
	return j
}

// FindingOf returns the object of a finding of the doctor.
func FindingOf(step, what, verdict, text, advice string, took time.Duration, data map[string]any) *Finding {
	return &Finding{Step: step, What: what, Verdict: verdict, Text: text, Advice: advice, Took: Millis(took), Data: data}
}

// HoldersOf returns the nodes that hold an item of a publication.
func HoldersOf(g *dht.GetReport) []Holder {
	list := []Holder{}
	for _, h := range g.Holders {
		state := "older"
		switch {
		case h.Bad:
			state = "bad"
		case h.Newest:
			state = "newest"
		}
		list = append(list, Holder{Contact: ContactOf(h.Contact, &g.Target), Seq: h.Seq, State: state})
	}
	return list
}

// ReachabilityOf returns the object of what is known about one address family.
func ReachabilityOf(r *node.Reachability) ReachabilityState {
	tcp, udp := &r.Transports[reachability.TCP], &r.Transports[reachability.UDP]
	s := ReachabilityState{Family: strings.ToLower(r.Family()), Verdict: r.Verdict.String(), TCP: tcp.Verdict.String(), UDP: udp.Verdict.String(),
		Addr: r.Addr(), SeenBy: r.SeenBy, DialedBack: max(tcp.DialedBack, udp.DialedBack), Arrived: max(tcp.Arrived, udp.Arrived),
		Failed: max(tcp.Failed, udp.Failed), Text: r.Text(), Hint: r.Advice()}
	if !r.Since.IsZero() {
		s.Since = r.Since.Format(time.RFC3339)
	}
	return s
}
