package engine

import (
	"net/netip"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

// Conn names a connection. The shell numbers connections from 1 and never
// uses a number twice within a torrent.
type Conn uint32

// Slot names a chunk buffer, from 0 to the budget less one. The engine hands
// slots out and takes them back; what memory stands behind one is the shell's
// affair.
type Slot uint32

// NoSlot is the absence of a slot.
const NoSlot = ^Slot(0)

// blockSize is what everyone requests: 16 KiB (BEP 3).
const blockSize = 16 << 10

// Block is a stretch of a piece as BEP 3's request names it.
type Block struct {
	Piece  uint32
	Begin  uint32 // bytes into the piece
	Length uint32 // bytes; 16 KiB but for a piece's last
}

// Source says how an address was learned; a Candidate may come from several.
type Source uint8

const (
	FromDHT Source = 1 << iota
	FromPEX
	FromHint     // x.pe of the magnet, or --peer
	FromLastRun  // the state directory's known peers
	FromIncoming // it dialled us
)

// Candidate is an address that may be a peer.
type Candidate struct {
	Addr      netip.AddrPort
	Source    Source
	From      netip.Addr // the DHT node or peer that named it, if known
	Encrypted bool       // it was met encrypted in an earlier run
}

// Event is something that happened outside, one of the types EvXxx of this
// package: the rare ones. What happens for every block is a [BlockEvent].
type Event interface{ event() }

// EvCandidates: addresses were found that may be peers.
type EvCandidates struct{ Candidates []Candidate }

// EvDialFailed: the dial of Addr came to nothing.
type EvDialFailed struct {
	Addr      netip.AddrPort
	Fault     Fault // how it failed
	Encrypted bool  // an encrypted handshake should come first the next time
}

// EvConnected: the handshake with Addr is done on Conn. The shell has checked
// the infohash.
type EvConnected struct {
	Conn      Conn
	Addr      netip.AddrPort
	Incoming  bool
	PeerID    id.ID
	Reserved  wire.Reserved
	Encrypted bool // the handshake, and perhaps what follows
	V2        bool // by the v2 infohash (BEP 52)
	Crowded   bool // the node has no room: it is kept only in place of another
}

// EvClosed: Conn is gone, by either side; every lease it held is free and no
// further event of it follows.
type EvClosed struct {
	Conn  Conn
	Addr  netip.AddrPort
	Fault Fault // why
}

// EvSent: the bytes of a CmdSend that is Timed have been written to Conn.
type EvSent struct{ Conn Conn }

// EvMessage: Conn sent Msg, which is neither a piece nor a request (those are
// [BlockEvent]s). Msg.Payload is the engine's for the call of Step alone.
type EvMessage struct {
	Conn Conn
	Msg  wire.Msg
}

// EvInfo: the info dictionary is known (from CmdMetadata, a .torrent file or the
// resume record) and storage is open. It ends the metadata phase.
type EvInfo struct {
	Info   *metainfo.Info
	Have   bitset.Set // verified pieces; no set is none
	Wanted bitset.Set // wanted pieces; no set is all
	Files  bitset.Set // files whose bytes count as wanted; no set is all
	Stored []Block    // chunks that are there of pieces that are not
}

// EvStored: the chunk at Block (Begin and Length are the chunk's) is written, or
// is of no more use; Slot is free again.
type EvStored struct {
	Slot  Slot
	Block Block
}

// EvVerified: every chunk of a piece was hashed.
type EvVerified struct {
	Piece  uint32
	OK     bool            // it is right, written and under the record's care
	Sums   []uint64        // one checksum a block, if it is not or CmdStore asked for them
	Leaves []metainfo.Root // one hash a block (BEP 52) of a bad piece of a torrent with a v2 side
}

// EvStorageFailed: a read, a write or a flush failed. The engine asks for nothing
// until EvStorageBack. What was lost by the failure is told apart, after this:
// by EvChunkLost, BlockUnsent or EvLeaves.
type EvStorageFailed struct{}

// EvChunkLost: the chunk at Block could not be written; Slot is free again.
type EvChunkLost struct {
	Slot  Slot
	Block Block
}

// EvStorageBack: storage works again; Have is what it holds now, as checked.
type EvStorageBack struct{ Have bitset.Set }

// EvBudget: the torrent is granted so many slots, dials at once and connections.
// Without slots nothing new is asked for.
type EvBudget struct{ Budget, HalfOpen, MaxConns int }

// EvWanted: Wanted and Files replaced the sets of EvInfo.
type EvWanted struct{ Wanted, Files bitset.Set }

// EvFocus: nothing but Pieces is asked for from now on, in that order; an empty
// list is nothing, nil all that is wanted. It may come before EvInfo.
type EvFocus struct{ Pieces []uint32 }

// EvExternal: our own address of its family, as the network sees it, is Addr.
type EvExternal struct{ Addr netip.Addr }

// EvUpLimit: the torrent may upload that many bytes a second from now on; 0 is no
// limit. See Config.UpLimit.
type EvUpLimit struct{ BytesPerSecond int64 }

// EvLeaves: the leaves of Block.Piece, for a CmdLeaves of Conn with Hash, are
// Leaves if OK; else the piece could not be read.
type EvLeaves struct {
	Conn   Conn
	Block  Block
	Hash   metainfo.HashRequest
	OK     bool
	Leaves []metainfo.Root
}

// EvStop: close every connection; afterwards only EvClosed and results of
// workers come.
type EvStop struct{}

func (*EvCandidates) event()    {}
func (*EvDialFailed) event()    {}
func (*EvConnected) event()     {}
func (*EvClosed) event()        {}
func (*EvSent) event()          {}
func (*EvMessage) event()       {}
func (*EvInfo) event()          {}
func (*EvStored) event()        {}
func (*EvVerified) event()      {}
func (*EvStorageFailed) event() {}
func (*EvChunkLost) event()     {}
func (*EvStorageBack) event()   {}
func (*EvBudget) event()        {}
func (*EvWanted) event()        {}
func (*EvFocus) event()         {}
func (*EvExternal) event()      {}
func (*EvUpLimit) event()       {}
func (*EvLeaves) event()        {}
func (*EvStop) event()          {}

// BlockEventKind says what happened to a block.
type BlockEventKind uint8

const (
	// BlockArrived: the payload of Block came from Conn and is in Slot. It may have
	// crossed a CmdCancel; if its chunk is still in that slot it counts.
	BlockArrived BlockEventKind = iota + 1
	// BlockUnwanted: Conn sent a piece message for Block that held no lease
	// (cancelled, lost a race in the endgame, or never asked for).
	BlockUnwanted
	// BlockRequested: Conn asks for Block.
	BlockRequested
	// BlockUploaded: Block, of a CmdUpload, is on its way to Conn: written to the
	// socket.
	BlockUploaded
	// BlockUnsent: Block, of a CmdUpload for Conn, will not be sent: it could not be
	// read, or was withdrawn.
	BlockUnsent
)

// BlockEvent is what happens for every block, and so is small.
type BlockEvent struct {
	Kind  BlockEventKind
	Conn  Conn
	Slot  Slot // of BlockArrived
	Block Block
}

// Fault classifies why a dial or a connection ended.
type Fault uint8

const (
	FaultNone      Fault = iota
	FaultRefused         // connection refused
	FaultTimeout         // no answer, or silent too long
	FaultUnreach         // no route, network or host unreachable
	FaultReset           // closed or reset by the peer
	FaultHandshake       // wrong infohash or not BitTorrent
	FaultProtocol        // broke the protocol: costs the sender its connection
	FaultSelf            // it was ourselves
	FaultDuplicate       // a second connection to one peer
	FaultBanned          // it sent bad data
	FaultSlow            // it read too slowly: control messages piled up
	FaultUseless         // neither has what the other needs, or room was wanted
	FaultLocal           // we stopped
)

var faultNames = [...]string{
	"no fault", "refused", "timed out", "unreachable", "reset by the peer", "no handshake", "broke the protocol",
	"ourselves", "second connection", "sent bad data", "too slow", "of no use", "stopped by us",
}

// String is a word or a few for people.
func (f Fault) String() string { return faultNames[f] }

// CommandKind says what is to be done and which fields of a Command are set.
type CommandKind uint8

const (
	// CmdDial: connect to Addr, do the handshake; answer EvConnected or
	// EvDialFailed. Encrypted: the peer likes that better, as was seen or told.
	CmdDial CommandKind = iota + 1
	// CmdClose: close Conn because of Fault; EvClosed follows.
	CmdClose
	// CmdSend: write Bytes, whole encoded messages, to Conn. Bytes is valid
	// until the next Step. If Timed is set, EvSent follows when they are written.
	CmdSend
	// CmdRequest: lease Block on Conn, its payload to land in Slot at Offset,
	// and send the request. Several conns may hold a lease of one block in the
	// endgame; the first to begin filling wins.
	CmdRequest
	// CmdCancel: take the lease of Block back from Conn and, if it was not yet
	// being filled, send cancel.
	CmdCancel
	// CmdUpload: read Block and send it to Conn as a piece message; EvUploaded follows.
	CmdUpload
	// CmdWithdraw: of the CmdUploads for Conn, do not send Block, or none if its
	// length is zero, unless it has begun. BlockUnsent follows for each that is not
	// sent.
	CmdWithdraw
	// CmdStore: the chunk Block (Begin, Length) is whole in Slot: hash it, write
	// it. EvStored follows; after a piece's last chunk EvVerified too. WantSums
	// asks for block checksums even if the hash agrees.
	CmdStore
	// CmdDropSlot: Slot's chunk is given up; its memory may go. No event follows.
	CmdDropSlot
	// CmdMetadata: Info was assembled from peers and is right: open storage,
	// check what is there, answer EvInfo.
	CmdMetadata
	// CmdHave: Block.Piece is verified and announced to the peers.
	CmdHave
	// CmdComplete: every wanted piece is verified. Comes each time that becomes true.
	CmdComplete
	// CmdBroken: what agrees with the infohash is no torrent that can be opened, as
	// Err says. Nothing more will come.
	CmdBroken
	// CmdWantPeers: candidates have run short; look for more when it is polite to.
	CmdWantPeers
	// CmdDHTNode: Addr is the UDP address of a peer's DHT node (BEP 5 PORT).
	CmdDHTNode
	// CmdBan: Addr sent bad data and is not to be dialled or accepted again. Its
	// port is 0 and the whole IP address meant, but on loopback.
	CmdBan
	// CmdKnown: Addr proved to be a peer of this torrent, worth remembering.
	// Encrypted says that its handshake was.
	CmdKnown
	// CmdLeaves: read Block.Piece and hash its blocks; EvLeaves with Conn, Block and
	// Hash follows.
	CmdLeaves
	// CmdYourIP: a peer at Conn says that our address is Addr (BEP 10 yourip; port 0).
	CmdYourIP
)

// Command is something that the shell is to do. Which fields count depends on Kind.
type Command struct {
	Kind      CommandKind
	Conn      Conn
	Slot      Slot
	Offset    uint32 // bytes into the slot
	Block     Block
	Fault     Fault
	WantSums  bool
	Round     uint32 // CmdStore: chunks of one piece count together only within a round; those of EvInfo's Stored are in round 0
	Encrypted bool
	Unproven  bool // CmdDial: the address is known from the DHT or PEX alone
	Timed     bool // of CmdSend
	Quiet     bool // of CmdCancel: Conn has said itself that it will not send Block, so no cancel is sent
	Addr      netip.AddrPort
	Bytes     []byte
	Info      *metainfo.Info
	Hash      metainfo.HashRequest
	Err       error
}

// Config is what an engine is made with.
type Config struct {
	InfoHash   id.ID   // what is shaken hands by first
	InfoHashV2 id.ID32 // BEP 52; zero if it is not known
	PeerID     id.ID   // our own
	ListenPort uint16  // told to peers (BEP 10 p); 0 when nothing listens
	DHTPort    uint16  // told to peers (BEP 5 PORT); 0 when no DHT runs
	Version    string  // BEP 10 v
	ChunkSize  uint32  // bytes a slot holds at most; a multiple of 64 KiB
	Budget     int     // slots
	HalfOpen   int     // dials at once
	MaxConns   int
	Uploads    int       // regular unchoke slots, the optimistic one apart
	UpLimit    int64     // bytes a second, the smaller of the torrent's limit and the node's; 0 is none
	Hints      bool      // hints are dialled even when the torrent is private
	Private    bool      // the torrent is known to be private (BEP 27) before EvInfo
	SuperSeed  SuperSeed // when pieces are kept back from peers (BEP 16)
	// Relaxed lifts the limits for addresses that only the DHT or PEX has named,
	// where the addresses are private: we listen on a private address ourselves.
	Relaxed bool
	Seed    uint64 // of the engine's random choices
}

// Drops counts connections by what the peer did to end them.
type Drops struct {
	BadData  int // sent wrong pieces or metadata
	Protocol int // broke the protocol
	Slow     int // did not read what we sent, or blocked what others wait for
	Silent   int // sent nothing for too long
}

// count counts a connection that ended for f.
func (d *Drops) count(f Fault) {
	switch f {
	case FaultBanned:
		d.BadData++
	case FaultProtocol:
		d.Protocol++
	case FaultSlow:
		d.Slow++
	case FaultTimeout:
		d.Silent++
	}
}

// Stats is a snapshot for people: sizes in bytes, rates in bytes a second.
type Stats struct {
	Metadata     bool  // the info dictionary is known
	Complete     bool  // every wanted piece is verified
	Size         int64 // of all files; like the next three without padding
	Wanted       int64 // bytes of wanted files
	Have         int64 // bytes of files in verified pieces
	HaveWanted   int64 // bytes of wanted files in verified pieces
	Pieces       int
	HavePieces   int
	DownRate     float64 // payload
	UpRate       float64
	UpLimit      int64 // as Config.UpLimit and EvUpLimit say
	Downloaded   int64 // payload, this session
	Uploaded     int64
	Wasted       int64 // received and thrown away
	HashFails    int
	Known        int // candidates ever learned and not banned
	Dialing      int
	Tried        int // addresses dialled at least once
	Refused      int // of those, the ones that have never answered
	Connected    int
	Banned       int   // addresses that are not dialled or accepted for now
	Dropped      Drops // connections that ended for what the peer did, in this run
	Seeds        int   // connected peers that have everything
	ChokedBy     int   // connected peers that choke us while we are interested
	MetaPeers    int   // connected peers that we wait for metadata from
	MetaHave     int64 // bytes of metadata, of the assembly that has come furthest
	MetaSize     int64 // 0 while no peer has told it
	Availability float64
	Paused       bool  // storage failed
	Broken       error // what agrees with the infohash is no torrent that can be opened; nothing more will come
}
