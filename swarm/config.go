package swarm

import (
	"context"
	"log/slog"
	"net"
	"net/netip"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
)

// A Dialer connects to peers.
type Dialer interface {
	Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// Storage is where a torrent's bytes live, by their offset in the torrent. All
// methods may be called concurrently.
type Storage interface {
	ReadAt(b []byte, off int64) error
	WriteAt(b []byte, off int64) error
	// MarkVerified notes that piece p was hashed, is right and is written.
	MarkVerified(p int)
	// MarkChunk notes that b is written at begin of piece p, which is not whole yet.
	MarkChunk(p int, begin uint32, b []byte)
	// Flush makes what was written last and then the record of it.
	Flush() error
	// Finish gives complete files their final names. It may come again.
	Finish() error
	// Complete reports whether all that is wanted is verified and under its final name.
	// The error says that something changed it since.
	Complete() (bool, error)
	// Recheck is asked after a failure: it makes the storage usable again, or
	// says why not, and returns the pieces that are there.
	Recheck(ctx context.Context) (bitset.Set, error)
	Close() error
}

// Content is an opened storage with what it holds and what is wanted of it.
// A zero Wanted or Files is everything.
type Content struct {
	Storage Storage
	Have    bitset.Set
	Wanted  bitset.Set // pieces
	Files   bitset.Set // whose bytes count as wanted
	// Stored is what is there of pieces that Have has not. What is no chunk as
	// Shared cuts them is fetched again.
	Stored []engine.Block
}

// Config is what a torrent is made with.
type Config struct {
	// Shared is what the torrents of a node have in common. Required.
	Shared *Shared

	InfoHash   id.ID   // of the swarm that is joined first
	InfoHashV2 id.ID32 // BEP 52; zero if it is not known
	PeerID     id.ID   // our own

	// Info is the info dictionary if it is known; else it comes from peers.
	Info *metainfo.Info

	// Open opens the storage once the info dictionary is known, checking what is
	// there if need be and telling how far that has come in bytes. It runs on a
	// goroutine of its own and is tried again, ever more slowly, while it fails.
	// Required.
	Open func(ctx context.Context, info *metainfo.Info, progress func(done, total int64)) (Content, error)

	// Dialer makes outgoing connections. Required.
	Dialer Dialer
	// Admit waits until a connection to an address may be made; nil lets all be made
	// at once. unproven says that only the DHT or PEX has named the address. The
	// caller of Admit calls leave when the dial has ended.
	Admit func(ctx context.Context, to netip.AddrPort, unproven bool) (leave func(connected bool), err error)
	// Relaxed lifts the limits for unproven addresses that are private; see
	// engine.Config.
	Relaxed bool

	// OnEvent is told what happens, one event at a time and in order, on the
	// torrent's own goroutine: it must return soon and must not call Stop.
	OnEvent func(Event)

	ListenPort uint16 // told to peers; 0 when nothing listens
	DHTPort    uint16 // told to peers; 0 when no DHT runs
	Version    string // our name for peers
	Hints      bool   // hints are dialled even when the torrent is private

	UpRate, DownRate int64 // of this torrent, in bytes a second; 0: no limit of its own

	Budget     int // buffers of the shared pool granted to this torrent; see Shared.Buffers
	HalfOpen   int // dials at once
	Encryption Encryption
	MaxConns   int
	Uploads    int // regular unchoke slots
	SuperSeed  engine.SuperSeed
	Seed       uint64 // of the engine's dice

	Log *slog.Logger // nil is silence
}

// EventKind says what an Event tells and which of its fields are set.
type EventKind uint8

const (
	// MetadataKnown: Info was assembled from peers or was given.
	MetadataKnown EventKind = iota + 1
	// Opened: storage is open and checked; the exchange of pieces begins.
	Opened
	// FirstPiece: Piece is the first that was downloaded and verified in this run.
	FirstPiece
	// PieceDone: Piece is verified and written.
	PieceDone
	// Complete: every wanted piece is verified, written and under its final name.
	Complete
	// Paused: storage could not be opened or failed, as Err says. It is tried
	// again; Paused comes again when the reason changes.
	Paused
	// Resumed: what Paused told is mended.
	Resumed
	// WantPeers: candidates have run short.
	WantPeers
	// DHTNode: the peer's DHT node is at Addr.
	DHTNode
	// Ban: Addr sent bad data; its IP is to be kept away from this torrent.
	Ban
	// KnownPeer: Addr proved to be a peer of this torrent; Encrypted says that its
	// handshake was encrypted.
	KnownPeer
	// External: the peer at From sees us at Addr (without a port).
	External
	// Broken: what the infohash names is no torrent that can be opened, as Err
	// says. Nothing more will come.
	Broken
)

// Event is something that a torrent has to tell.
type Event struct {
	Kind  EventKind
	Piece int
	Addr  netip.AddrPort
	From  netip.AddrPort
	Info  *metainfo.Info
	Err   error

	Encrypted bool
}
