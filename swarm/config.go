package swarm

import (
	"context"
	"log/slog"
	"net"
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// Dialer connects to peers.
type Dialer interface {
	Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error)
}

// Storage stores a torrent's bytes, addressed by their offset in the torrent. All methods
// may be called concurrently.
type Storage interface {
	ReadAt(b []byte, off int64) error
	WriteAt(b []byte, off int64) error
	// MarkVerified records that piece p has been hashed, is correct, and has been
	// written.
	MarkVerified(p int)
	// MarkChunk records that b has been written at begin of piece p, which is still
	// incomplete.
	MarkChunk(p int, begin uint32, b []byte)
	// Flush syncs the written data, and then the record of it.
	Flush() error
	// Finish gives complete files their final names. It may be called repeatedly.
	Finish() error
	// Complete reports whether everything wanted is verified and under its final name. It
	// returns an error if a file has been changed since.
	Complete() (bool, error)
	// Recheck is called after a failure. It makes the storage usable again and returns
	// the pieces it has, or returns the reason why it is still unusable.
	Recheck(ctx context.Context) (bitset.Set, error)
	Close() error
}

// Remote is a Storage whose data is elsewhere, and may take long to come. Its ReadAt returns storage.ErrNotLocal for data that is
// not here.
type Remote interface {
	Storage
	// Fetch reports whether ReadAt can read the range now, or never. Otherwise the data is fetched, and ready is called
	// once, on another goroutine: with nil when it is worth asking again, or with the reason why the data cannot be
	// fetched now, which is storage.ErrAway if that will take long. That is no failure of the storage. If wanted returns false before the fetch has begun, nothing is fetched.
	// With a nil ready nothing is fetched at all. Fetch never waits, and wanted must not.
	Fetch(off, n int64, ready func(error), wanted func() bool) bool
}

// Content is an opened storage, with its contents and what is wanted. A zero Wanted or
// Files means everything.
type Content struct {
	Storage Storage
	Have    bitset.Set
	Wanted  bitset.Set // pieces
	Files   bitset.Set // files whose bytes count as wanted
	// Stored lists stored chunks of pieces that are not in Have. Chunks whose bounds
	// differ from those of Shared are fetched again.
	Stored []engine.Block
	// Outdated has the pieces whose place in the files holds other data, some blocks of which may
	// be right: that of an earlier version.
	Outdated bitset.Set
	// Fixed says that nothing can be written, so that pieces that are lost cannot be downloaded again. They are looked for
	// until they are back.
	Fixed bool
}

// Config configures a torrent.
type Config struct {
	// Shared holds the resources that the torrents of a node share. Required.
	Shared *Shared

	InfoHash   id.ID   // infohash of the swarm that is joined first
	InfoHashV2 id.ID32 // BEP 52; zero if unknown
	PeerID     id.ID   // our own

	// Info is the info dictionary, if known; otherwise it is fetched from peers.
	Info *metainfo.Info

	// Open opens the storage once the info dictionary is known, and checks existing data
	// if necessary; progress reports how many bytes have been checked. Open runs on its
	// own goroutine. If it fails, it is called again with growing pauses. Required.
	Open func(ctx context.Context, info *metainfo.Info, progress func(done, total int64)) (Content, error)

	// Dialer makes outgoing connections. Required.
	Dialer Dialer
	// Admit waits until a connection to an address may be made; nil means at once.
	// unproven says that the address is unproven in the engine. The torrent calls
	// leave when the dial has ended.
	Admit func(ctx context.Context, to netip.AddrPort, unproven bool) (leave func(connected bool), err error)
	// HungUp is called when a peer has accepted a connection, and has closed it or been silent
	// before the handshake. The Dialer may use another transport the next time. May be nil.
	HungUp func(peer netip.AddrPort)
	// Punch connects over uTP to a peer that connects to us at the same time (BEP 55). It
	// limits what it sends to one host and to all. Nil means that hole punching is not
	// offered.
	Punch func(ctx context.Context, to netip.AddrPort) (net.Conn, error)
	// Relaxed lifts the limits on unproven private addresses; see engine.Config.
	Relaxed bool

	// OnEvent is called for one event at a time, in order, on the torrent's goroutine. It
	// must return soon and must not call Stop.
	OnEvent func(Event)

	Ports   addrs.Ports // where peers reach us, sent to them
	HasDHT  bool        // a DHT node runs at Ports, which is sent to peers
	Version string      // our client name, sent to peers

	DialBack bool // support dialing back: see CanDialBack and DialBack

	Hints bool // dial hints even if the torrent is private

	UpRate, DownRate int64 // limits of this torrent in bytes per second; 0 means no limit of its own

	Budget     int // buffers of the shared pool that this torrent may use; see Shared.Buffers
	HalfOpen   int // simultaneous dials
	Encryption Encryption
	MaxConns   int
	Uploads    int // regular upload slots
	SuperSeed  engine.SuperSeed
	Seed       uint64 // for the engine's random choices

	Trace *Trace // called for outgoing connections; may be nil

	Log *slog.Logger // nil discards
}

// EventKind says what an Event reports and which of its fields are set.
type EventKind uint8

const (
	// MetadataKnown: Info was assembled from peers or was given.
	MetadataKnown EventKind = iota + 1
	// Opened: storage is open and checked; pieces are now exchanged.
	Opened
	// FirstPiece: Piece is the first one downloaded and verified in this run.
	FirstPiece
	// PieceDone: Piece has been verified and written.
	PieceDone
	// Complete: every wanted piece is verified, written and under its final name.
	Complete
	// Paused: storage could not be opened or failed, as Err says. It is retried. Paused
	// is sent again when the reason changes.
	Paused
	// Resumed: the problem that Paused reported is over.
	Resumed
	// WantPeers: candidates are running out.
	WantPeers
	// DHTNode: a peer's DHT node is at Addr.
	DHTNode
	// Ban: Addr sent bad data; do not give its IP address to this torrent again.
	Ban
	// KnownPeer: Addr proved to be a peer of this torrent. Encrypted says whether its
	// handshake was encrypted.
	KnownPeer
	// External: the peer at From sees us at Addr (without a port).
	External
	// CanDialBack: the peer at From, with the connection Conn, can be asked to dial back.
	CanDialBack
	// DialBack: the peer at From, with the connection Conn, asks us to dial it back, or answers
	// such a request. It is Message. The owner decides what to do about it.
	DialBack
	// Item: the peer at From, with the connection Conn, sent Item, which may be newer than the newest one of
	// a publication of the torrent; see SetPublications. The owner checks the signature, and calls
	// SetPublications or RejectItem.
	Item
	// Broken: the metadata matches the infohash but is not a valid torrent; Err says why.
	// No further event follows.
	Broken
)

// Event is an event of a torrent.
type Event struct {
	Kind  EventKind
	Piece int
	Addr  netip.AddrPort
	From  netip.AddrPort
	Info  *metainfo.Info
	Err   error

	Encrypted bool

	Conn    engine.Conn
	Message wire.DialBackMsg // of DialBack
	Item    *wire.ItemMsg    // of Item
}
