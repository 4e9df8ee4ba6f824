package node

import (
	"time"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
)

// EventKind says what an Event is about.
type EventKind uint8

const (
	// Listening: the node is reachable at Event.Addr. There is one event for each address.
	Listening EventKind = iota + 1
	// Added: the node has a new torrent, whose link is Event.Magnet.
	Added
	// Metadata: the info dictionary is known and valid; it is Event.Info. With
	// Spec.MetadataOnly, Event.Path is the .torrent file that was written.
	Metadata
	// FirstPiece: the first piece of this run was verified.
	FirstPiece
	// Complete: every wanted piece is verified, written and under its final name.
	Complete
	// Seeding: the torrent is complete and shared from now on at Event.Addr.
	Seeding
	// Seeded: Config.SeedRatio or SeedTime is reached, and the torrent stops.
	// Event.Uploaded and Event.Ratio say how much was uploaded.
	Seeded
	// Warning: Event.Err holds the torrent up, or was passed over; the torrent goes on.
	Warning
	// Recovered: what held the torrent up is resolved.
	Recovered
	// Failed: Event.Err ended the torrent.
	Failed
	// Removed: the node does not have the torrent any more.
	Removed
	// PublishedItem: a version of Event.Publication was put into the DHT.
	PublishedItem
	// FoundVersion: a newer version of the followed Event.Publication was found and is
	// being downloaded.
	FoundVersion
	// SwitchedVersion: that version is complete and is the current one.
	SwitchedVersion
	// Missed: the subscriber was so slow that events were discarded. It should look at
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

// Event is something that a person or a program may want to know. It names a torrent by
// its infohash and holds values only: it stays valid when the torrent is gone, and holds
// nothing of the node.
type Event struct {
	Kind     EventKind
	Time     time.Time // Emit sets it if it is zero
	InfoHash id.ID     // of the torrent; zero for an event about the node
	Name     string    // of the torrent, as far as it is known
	Err      error     // of Warning and Failed

	Addr     string         // of Listening and Seeding
	Magnet   string         // of Added and Seeding
	Info     *metainfo.Info // of Metadata; nobody changes it
	Path     string         // of Metadata
	Uploaded int64          // of Seeded: bytes, in all runs
	Ratio    float64        // of Seeded

	// Publication is set for PublishedItem, FoundVersion and SwitchedVersion.
	Publication *PublicationEvent
}

// PublicationEvent is about one version of what is published under a key.
type PublicationEvent struct {
	Link string // with the key
	Seq  int64

	// Of PublishedItem: of the closest nodes, those that gave the item back.
	Kept, Nodes int

	// Of FoundVersion and SwitchedVersion.
	InfoHash string
	Dir      string // the version's folder
	Reused   int64  // bytes of files that were there already
	Fetched  int64  // bytes of blocks that came from peers
}

// About returns e with the infohash and the name of t, which may be nil.
func (e Event) About(t *Torrent) Event {
	if t != nil {
		e.InfoHash, e.Name = t.InfoHash(), t.Name()
	}
	return e
}

// emit sends an event about t.
func (t *Torrent) emit(e Event) { t.node.Emit(e.About(t)) }
