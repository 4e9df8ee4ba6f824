package node

import "time"

// EventKind says what an Event tells.
type EventKind uint8

const (
	// Listening: the node is reachable at Event.Addr, one event an address.
	Listening EventKind = iota + 1
	// Added: Event.Torrent was taken on.
	Added
	// Metadata: the info dictionary of Event.Torrent is known.
	Metadata
	// FirstPiece: the first piece of this run was verified.
	FirstPiece
	// Complete: every wanted piece is verified, written and under its final name.
	Complete
	// Seeding: Event.Torrent is complete and shared from now on.
	Seeding
	// Seeded: Event.Torrent has been shared as far as Config.SeedRatio or SeedTime
	// says, and stops.
	Seeded
	// Warning: Event.Err holds the torrent up or was passed over; the torrent goes on.
	Warning
	// Recovered: what held the torrent up is mended.
	Recovered
	// Failed: Event.Err ended the torrent.
	Failed
	// PublishedItem: a version of Event.Publication was put into the DHT.
	PublishedItem
	// FoundVersion: a newer version of what is followed, Event.Publication, is there
	// and is fetched.
	FoundVersion
	// SwitchedVersion: that version is whole, and current.
	SwitchedVersion
)

// Event is something worth telling a person. Torrent is nil where it is about
// the node.
type Event struct {
	Kind    EventKind
	Time    time.Time
	Torrent *Torrent
	Addr    string
	Err     error
	// Publication is what PublishedItem, FoundVersion and SwitchedVersion are about.
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
