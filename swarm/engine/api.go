package engine

import (
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
)

// Conn identifies a connection. The shell numbers connections from 1 and never reuses a
// number within a torrent.
type Conn uint32

// Slot identifies a chunk buffer, from 0 to the budget minus 1. The engine assigns and
// frees slots; the shell owns the memory behind them.
type Slot uint32

// NoSlot means that there is no slot.
const NoSlot = ^Slot(0)

// blockSize is the length of a request in practice: 16 KiB (BEP 3).
const blockSize = 16 << 10

// Block is a byte range of a piece, as in a request (BEP 3).
type Block struct {
	Piece  uint32
	Begin  uint32 // bytes into the piece
	Length uint32 // bytes; 16 KiB except for the last block of a piece
}

// Source says how an address was learned; a Candidate may have several sources.
type Source uint8

const (
	FromDHT Source = 1 << iota
	FromPEX
	FromHint     // x.pe of the magnet, or --peer
	FromLastRun  // the state directory's known peers
	FromIncoming // it dialed us
	FromLSD      // it announced itself in the local network (BEP 14)
	// FromPublication: it was connected to another version of a publication. It may take a moment until it
	// has this version.
	FromPublication
)

// Candidate is an address that may be a peer.
type Candidate struct {
	Addr      netip.AddrPort
	Source    Source
	From      netip.Addr // the DHT node or peer that named it, if known
	Encrypted bool       // it supported encryption in an earlier run
}

// BlockEventKind says what happened to a block.
type BlockEventKind uint8

const (
	// BlockArrived: Conn sent the payload of Block, which is in Slot. A CmdCancel may
	// have crossed it; the block counts if its chunk is still in that slot.
	BlockArrived BlockEventKind = iota + 1
	// BlockUnwanted: Conn sent Block without an outstanding request for it (canceled, already
	// received from another peer in the endgame, or never requested).
	BlockUnwanted
	// BlockRequested: Conn requests Block.
	BlockRequested
	// BlockUploaded: Block, of a CmdUpload for Conn, has been written to the socket.
	BlockUploaded
	// BlockUnsent: Block, of a CmdUpload for Conn, will not be sent: it could not be
	// read, or was withdrawn.
	BlockUnsent
	// BlockAway: Block, of a CmdUpload for Conn, will not be sent: its data is out of reach until
	// EvReachable.
	BlockAway
	// BlockFetching: the data of Block, of a CmdUpload for Conn, is elsewhere, and is being fetched. BlockFetched, BlockUnsent
	// or BlockAway follows.
	BlockFetching
	// BlockFetched: the data of Block is here, and Block is being sent.
	BlockFetched
)

// BlockEvent is an event that occurs for every block, and is therefore small.
type BlockEvent struct {
	Kind  BlockEventKind
	Conn  Conn
	Slot  Slot // of BlockArrived
	Block Block
}

// Config configures an engine.
type Config struct {
	InfoHash   id.ID       // used in handshakes
	InfoHashV2 id.ID32     // BEP 52; zero if it is not known
	PeerID     id.ID       // our own
	Ports      addrs.Ports // where peers reach us, sent to them (BEP 10 p)
	HasDHT     bool        // a DHT node runs at Ports, which is sent to peers (BEP 5 PORT)
	DialBack   bool        // support dialing back
	Version    string      // BEP 10 v
	ChunkSize  uint32      // maximal bytes in a slot; a multiple of 64 KiB
	Budget     int         // slots
	HalfOpen   int         // simultaneous dials
	MaxConns   int
	Uploads    int       // regular upload slots, not counting the optimistic one
	UpLimit    int64     // bytes per second, the smaller of the torrent's limit and the node's; 0 means no limit
	Holepunch  bool      // connections over uTP can be made, so hole punching is offered (BEP 55)
	Hints      bool      // dial hints even if the torrent is private
	Private    bool      // the torrent is known to be private (BEP 27) before EvInfo
	SuperSeed  SuperSeed // when to withhold pieces from peers (BEP 16)
	// Relaxed lifts the limits on private addresses that nobody has proven; see unproven.go.
	// It is set when we listen on a private address ourselves.
	Relaxed bool
	Seed    uint64 // for the engine's random choices
}
