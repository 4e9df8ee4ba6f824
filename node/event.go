package node

import (
	"net/netip"
	"time"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
)

// EventKind is the type of an Event.
type EventKind uint8

const (
	// Listening: the node is reachable at Event.Addr. There is one event for each address.
	Listening EventKind = iota + 1
	// Mapped: a router forwards Event.Addr to the node. Event.Mapping says how.
	Mapped
	// ReachabilityChanged: whether others can connect to the node has become known or has
	// changed. Event.Reachability says what is known of one address family.
	ReachabilityChanged
	// Added: a torrent was added to the node. Event.Magnet is its link.
	Added
	// Metadata: the info dictionary is known and valid; it is Event.Info. With
	// Spec.MetadataOnly, Event.Path is the .torrent file that was written.
	Metadata
	// FirstPiece: the first piece in this run was verified.
	FirstPiece
	// Complete: every wanted piece is verified, written and under its final name.
	Complete
	// Seeding: the torrent is complete and is being seeded at Event.Addr.
	Seeding
	// Seeded: the seeding goal Event.Goal is reached, and the torrent stops. Event.Uploaded and
	// Event.Ratio say how much was uploaded.
	Seeded
	// Warning: Event.Err blocks the torrent for now, or something was skipped because of
	// it. The torrent does not end.
	Warning
	// Changed: the torrent has entered another phase, or what the user has chosen for it has
	// changed.
	Changed
	// Recovered: the error that blocked the torrent is gone.
	Recovered
	// Failed: Event.Err has stopped the torrent.
	Failed
	// Removed: the torrent has left the node.
	Removed
	// PublishedItem: a version of Event.Publication was put into the DHT.
	PublishedItem
	// FoundVersion: a newer version of the followed Event.Publication was found and is
	// being downloaded.
	FoundVersion
	// SwitchedVersion: that version is complete and has become the current one.
	SwitchedVersion
	// NetworkChanged: packets to the internet take another path from now on, or none; see
	// Event.Network. There is one event for each address family.
	NetworkChanged
	// Missed: the subscriber was too slow and events were discarded. It should read
	// Node.Torrents again.
	Missed

	lastKind = Missed
)

// EventKinds returns every kind of event.
func EventKinds() (all []EventKind) {
	for k := Listening; k <= lastKind; k++ {
		all = append(all, k)
	}
	return all
}

// Event is something that happened to the node, a torrent or a publication. It identifies a
// torrent by its infohash. It contains only values, so it stays valid when the torrent is
// gone and keeps nothing of the node in memory.
type Event struct {
	Kind     EventKind
	Time     time.Time // Emit sets it if it is zero
	InfoHash id.ID     // of the torrent; zero for an event about the node
	Name     string    // of the torrent, if known
	Err      error     // of Warning and Failed

	Addr     string         // of Listening, Mapped, ReachabilityChanged and Seeding; empty if nothing listens
	Magnet   string         // of Added and Seeding
	Info     *metainfo.Info // of Metadata; read-only
	Path     string         // of Metadata; of Complete, where the object store has the files that were there already
	Uploaded int64          // of Seeded: bytes, over all runs
	Ratio    float64        // of Seeded
	Goal     Goal           // of Seeded

	// Mapping is set for Mapped.
	Mapping MappingEvent

	// Reachability is set for ReachabilityChanged.
	Reachability *Reachability

	// Network is set for NetworkChanged.
	Network NetworkEvent

	// Publication is set for PublishedItem, FoundVersion and SwitchedVersion.
	Publication *PublicationEvent
}

// MappingEvent has the details of a mapped port.
type MappingEvent struct {
	Method string // PCP, NAT-PMP or UPnP
	Router netip.Addr
	Lease  time.Duration // 0: until it is removed
}

// NetworkEvent has the details of a changed path to the internet.
type NetworkEvent struct {
	IPv6      bool
	Addr      netip.Addr // from which packets to the internet are sent; the zero Addr: there is no route
	Interface string     // with Addr
	Before    netip.Addr // the last one before; the zero Addr: there was none
	// Suspended is how long the machine was suspended until now.
	Suspended time.Duration
}

// PublicationEvent has the details of an event about one version of a publication.
type PublicationEvent struct {
	Link string // with the key
	Seq  int64

	// Of PublishedItem: Stored of the Nodes closest nodes returned the item. KeepLink keeps a
	// private publication alive without reading it.
	Stored, Nodes int
	KeepLink      string

	// Of FoundVersion: a peer has pushed the item; otherwise the DHT had it.
	Pushed bool

	// Of FoundVersion and SwitchedVersion.
	InfoHash string
	Dir      string // the version's folder
	Reused   int64  // bytes of files that existed already
	Fetched  int64  // bytes of blocks received from peers
}

// About returns e with the infohash and the name of t, which may be nil.
func (e Event) About(t *Torrent) Event {
	if t != nil {
		e.InfoHash, e.Name = t.InfoHash(), t.Name()
	}
	return e
}

// emit sends an event about t.
func (t *Torrent) emit(e Event) {
	if !t.isHidden() {
		t.node.Emit(e.About(t))
	}
}
