package engine

import (
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
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

// Event is something that happened outside the engine: one of the EvXxx types. They are
// for rare events; what happens for every block is a [BlockEvent].
type Event interface{ event() }

// EvCandidates reports addresses that may be peers.
type EvCandidates struct{ Candidates []Candidate }

// EvDialFailed reports that dialing Addr failed.
type EvDialFailed struct {
	Addr      netip.AddrPort
	Fault     Fault // why it failed
	Encrypted bool  // try an encrypted handshake first next time
}

// EvPunchFailed reports that a CmdPunch for Addr failed.
type EvPunchFailed struct{ Addr netip.AddrPort }

// EvConnected reports that the handshake with Addr has completed on Conn. The shell has
// checked the infohash.
type EvConnected struct {
	Conn      Conn
	Addr      netip.AddrPort
	Incoming  bool
	PeerID    id.ID
	Reserved  wire.Reserved
	Encrypted bool // the handshake was encrypted; the connection may be too
	UTP       bool // it is a connection over uTP (BEP 29)
	Punched   bool // a CmdPunch made it
	V2        bool // it used the v2 infohash (BEP 52)
	NodeFull  bool // the node is at its connection limit: keep this one only by replacing another
}

// EvClosed reports that either side has closed Conn. All its requests are void, and no
// further event of Conn follows.
type EvClosed struct {
	Conn  Conn
	Addr  netip.AddrPort
	Fault Fault // why
}

// EvSent reports that the bytes of a Timed CmdSend have been written to Conn.
type EvSent struct{ Conn Conn }

// EvMessage reports that Conn sent Msg. Pieces and requests are [BlockEvent]s instead.
// The engine may use Msg.Payload only during the call of Step.
type EvMessage struct {
	Conn Conn
	Msg  wire.Msg
}

// EvInfo reports that the info dictionary is known (from CmdMetadata, a .torrent file or
// the resume record) and that storage is open. It ends the metadata phase.
type EvInfo struct {
	Info   *metainfo.Info
	Have   bitset.Set // verified pieces; the zero set means none
	Wanted bitset.Set // wanted pieces; the zero set means all
	Files  bitset.Set // files whose bytes count as wanted; the zero set means all
	Stored []Block    // stored chunks of pieces that are not verified
	// Outdated has pieces that are not verified, but some of whose blocks may be on the disk; the zero
	// set means none. See comparison.
	Outdated bitset.Set
}

// EvStored reports that the chunk at Block (Begin and Length are the chunk's) has been
// written, or is no longer needed. Slot is free again.
type EvStored struct {
	Slot  Slot
	Block Block
}

// EvVerified reports that a complete piece has been hashed.
type EvVerified struct {
	Piece  uint32
	OK     bool            // the hash agrees, and the piece is written and in the resume record
	Sums   []uint64        // one checksum per block, if not OK or if CmdStore requested them
	Leaves []metainfo.Root // one hash per block (BEP 52), if not OK and the torrent has v2 hashes
}

// EvStorageFailed reports that a read, write or flush failed. The engine requests nothing
// until EvStorageBack. Each lost item is reported separately afterwards, by EvChunkLost,
// BlockUnsent or EvLeaves.
type EvStorageFailed struct{}

// EvChunkLost reports that the chunk at Block could not be written. Slot is free again.
type EvChunkLost struct {
	Slot  Slot
	Block Block
}

// EvStorageBack reports that storage works again. Have is what it holds now, freshly
// checked.
type EvStorageBack struct{ Have bitset.Set }

// EvBudget sets the torrent's limits: slots, simultaneous dials and connections. Without
// slots nothing new is requested. Drop closes the least useful connections beyond MaxConns.
type EvBudget struct {
	Budget, HalfOpen, MaxConns int
	Drop                       bool
}

// EvWanted replaces the sets Wanted and Files of EvInfo.
type EvWanted struct{ Wanted, Files bitset.Set }

// EvFocus makes Pieces come first, in that order. With Rest the other wanted pieces are requested
// after them; without it they are not, so that an empty list means that nothing is requested. Nil
// removes the focus. EvFocus may precede EvInfo.
type EvFocus struct {
	Pieces []uint32
	Rest   bool
}

// EvOrder sets the order in which pieces are requested. It may precede EvInfo.
type EvOrder struct{ Order }

// EvExternal reports our external address for one address family.
type EvExternal struct{ Addr netip.Addr }

// EvUpLimit sets the torrent's upload limit in bytes per second; 0 means no limit. See
// Config.UpLimit.
type EvUpLimit struct{ BytesPerSecond int64 }

// EvUploads sets the number of regular upload slots and when the torrent super-seeds. See
// Config.
type EvUploads struct {
	Uploads   int
	SuperSeed SuperSeed
}

// EvDialBack sends a message about dialing back to Conn, if that is still connected and supports them.
type EvDialBack struct {
	Conn Conn
	Msg  wire.DialBackMsg
}

// Publication is a publication of which the torrent is a version (BEP 46): the mutable items of a key and a
// salt (BEP 44).
type Publication struct {
	Key  [32]byte
	Salt string
	Item *wire.ItemMsg // the newest that is known, with a valid signature, or nil; not modified any more
}

// EvPublications sets the publications to which the torrent belongs, of which the first 16 are used. With
// one, the torrent supports sb_item: it sends the newest items to its peers and receives theirs.
type EvPublications struct{ Publications []Publication }

// EvForgedItem reports that the item of a CmdItem, which Conn sent, has no valid signature.
type EvForgedItem struct{ Conn Conn }

// EvPorts sets Config.Ports. The engine sends the new port to peers that connect from now on.
type EvPorts struct{ Ports addrs.Ports }

// EvLeaves answers a CmdLeaves with the same Conn and Hash. If OK, Leaves are the leaves
// of Block.Piece; otherwise the piece could not be read.
type EvLeaves struct {
	Conn   Conn
	Block  Block
	Hash   metainfo.HashRequest
	OK     bool
	Leaves []metainfo.Root
}

// EvCompared answers a CmdCompare. Kept has the blocks of the piece that are on the disk; the zero set
// means none.
type EvCompared struct {
	Piece uint32
	Kept  bitset.Set
}

// EvNetwork reports that this machine now reaches other machines by another path, or again.
// Lost are the connections that cannot work any more. Their peers, and those that could not be
// reached because of our network, are dialed again soon.
type EvNetwork struct{ Lost []Conn }

// EvStop closes every connection. Afterwards only EvClosed and results of workers follow.
type EvStop struct{}

func (*EvCandidates) event()    {}
func (*EvDialFailed) event()    {}
func (*EvPunchFailed) event()   {}
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
func (*EvOrder) event()         {}
func (*EvExternal) event()      {}
func (*EvUpLimit) event()       {}
func (*EvUploads) event()       {}
func (*EvDialBack) event()      {}
func (*EvPublications) event()  {}
func (*EvForgedItem) event()    {}
func (*EvPorts) event()         {}
func (*EvLeaves) event()        {}
func (*EvCompared) event()      {}
func (*EvNetwork) event()       {}
func (*EvStop) event()          {}

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
)

// BlockEvent is an event that occurs for every block, and is therefore small.
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
	FaultTimeout         // no answer, or silent for too long
	FaultUnreach         // no route, network or host unreachable
	FaultReset           // closed or reset by the peer
	FaultHandshake       // wrong infohash, or not BitTorrent
	FaultProtocol        // violated the protocol, which costs the sender its connection
	FaultSelf            // connected to ourselves
	FaultDuplicate       // a second connection to the same peer
	FaultBanned          // it sent bad data
	FaultSlow            // read too slowly: control messages piled up
	FaultUseless         // neither side needs anything from the other, or it was replaced
	FaultLocal           // we stopped
	FaultNetwork         // the path to the peer is gone: our network has changed
)

var faultNames = [...]string{
	"no fault", "refused", "timed out", "unreachable", "reset by the peer", "handshake failed", "broke the protocol",
	"connected to ourselves", "duplicate connection", "sent bad data", "too slow", "not useful", "stopped by us",
	"our network changed",
}

// String returns a short description for people.
func (f Fault) String() string { return faultNames[f] }

// CommandKind says what to do and which fields of a Command are set.
type CommandKind uint8

const (
	// CmdDial: connect to Addr and do the handshake; answer EvConnected or EvDialFailed.
	// If Encrypted is set, the peer prefers encryption, as observed or as another peer
	// said.
	CmdDial CommandKind = iota + 1
	// CmdPunch: connect to Addr over uTP at once, because a relay has told the peer there to
	// do the same (BEP 55), and do the handshake; answer EvConnected with Punched, or
	// EvPunchFailed. Encrypted is as in CmdDial.
	CmdPunch
	// CmdClose: close Conn because of Fault. EvClosed follows.
	CmdClose
	// CmdSend: write Bytes, which are complete encoded messages, to Conn. Bytes is valid
	// until the next Step. If Timed is set, EvSent follows when they have been written.
	CmdSend
	// CmdRequest: request Block from Conn; its payload is to be stored in Slot at Offset.
	// In the endgame several connections may have a request for one block. The first
	// payload that begins to arrive is used.
	CmdRequest
	// CmdCancel: withdraw the request for Block from Conn and, unless its payload has begun
	// to arrive, send a cancel.
	CmdCancel
	// CmdUpload: read Block and send it to Conn in a piece message. BlockUploaded
	// follows.
	CmdUpload
	// CmdWithdraw: do not send Block, of a CmdUpload for Conn, unless sending has begun.
	// If its length is zero, this applies to all CmdUploads for Conn. BlockUnsent follows
	// for each that is not sent.
	CmdWithdraw
	// CmdStore: the chunk Block (Begin, Length) in Slot is complete: hash and write it.
	// The blocks of the piece in Kept are not in Slot, but in the files.
	// EvStored follows; after the last chunk of a piece EvVerified follows too. WantSums
	// requests block checksums even if the hash agrees.
	CmdStore
	// CmdDropSlot: the chunk in Slot is discarded; its memory may be freed. No event
	// follows.
	CmdDropSlot
	// CmdMetadata: Info was assembled from peers and verified: open storage, check
	// existing data, answer EvInfo.
	CmdMetadata
	// CmdHave: Block.Piece is verified and will be announced to the peers.
	CmdHave
	// CmdComplete: every wanted piece is verified. It is sent each time that becomes
	// true.
	CmdComplete
	// CmdBroken: the metadata matches the infohash, but is not a valid torrent; Err says
	// why. No further command follows.
	CmdBroken
	// CmdWantPeers: there are few candidates left; look for more, within the limits of the DHT.
	CmdWantPeers
	// CmdDHTNode: Addr is the UDP address of a peer's DHT node (BEP 5 PORT).
	CmdDHTNode
	// CmdBan: Addr sent bad data; do not dial or accept it again. Its port is 0, which
	// means the whole IP address, except on loopback.
	CmdBan
	// CmdKnown: Addr proved to be a peer of this torrent and is worth remembering.
	// Encrypted says whether its handshake was encrypted.
	CmdKnown
	// CmdLeaves: read Block.Piece and hash its blocks; EvLeaves with Conn, Block and
	// Hash follows.
	CmdLeaves
	// CmdCompare: read Block.Piece and compare its blocks with Leaves; EvCompared follows.
	CmdCompare
	// CmdYourIP: the peer at Conn says that our address is Addr (BEP 10 yourip; its port
	// is 0).
	CmdYourIP
	// CmdCanDialBack: the peer at Conn, whose address is Addr, can be asked to dial back.
	CmdCanDialBack
	// CmdDialBack: the peer at Conn, whose address is Addr, asks us to dial it back, or
	// reports what came of it, as DialBack says. Nothing about it is checked, except that requests are rare.
	CmdDialBack
	// CmdItem: the peer at Conn, whose address is Addr, sent Item of a publication of the torrent. Its number is
	// higher than that of the newest item, or its value is another one with the same number. The
	// signature is not checked. EvForgedItem or, if it is newer, EvPublications is the answer.
	CmdItem
)

// Command is an instruction to the shell. Kind determines which fields are used.
type Command struct {
	Kind      CommandKind
	Conn      Conn
	Slot      Slot
	Offset    uint32 // bytes into the slot
	Block     Block
	Fault     Fault
	WantSums  bool
	Round     uint32 // of CmdStore: the chunks of a piece count together only within one round; those of EvInfo's Stored have round 0
	Encrypted bool
	Unproven  bool // of CmdDial: see unproven.go
	Timed     bool // of CmdSend
	Rejected  bool // of CmdCancel: the peer has said that it will not send Block, so no cancel is sent
	Addr      netip.AddrPort
	Bytes     []byte
	Info      *metainfo.Info
	DialBack  *wire.DialBackMsg
	Item      *wire.ItemMsg
	Hash      metainfo.HashRequest
	Leaves    []metainfo.Root
	Kept      bitset.Set // of CmdStore, by block of the piece; the zero set means none
	Err       error
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

// PunchCounts counts hole punches (BEP 55).
type PunchCounts struct {
	Begun     int64 // connections that we tried because a relay told us to
	Connected int64 // connections made by hole punches, by either side
	Relayed   int64 // pairs of peers to which we sent each other's address
}

// ItemOutcome says what became of an sb_item message.
type ItemOutcome uint8

const (
	ItemSent    ItemOutcome = iota
	ItemChecked             // received, and passed on to check the signature
	ItemForged              // of those, without a valid signature
	ItemKnown               // received, and we had that version or a later one
	ItemOld                 // the same, repeatedly from one peer
	ItemForeign             // received, of another publication
	ItemTooMany             // received above the limit of a peer
	NumItemOutcomes
)

// String returns the name of the outcome, as it is written in metrics.
func (o ItemOutcome) String() string {
	return [...]string{"sent", "checked", "forged", "known", "old", "foreign", "too_many"}[o]
}

// ItemCounts is the number of sb_item messages, by outcome.
type ItemCounts [NumItemOutcomes]int64

// Drops counts connections by the peer's behavior that ended them.
type Drops struct {
	BadData  int // sent wrong pieces or metadata
	Protocol int // violated the protocol
	Slow     int // did not read what we sent, or was replaced because it was not useful
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

// Stats is a snapshot for people. Sizes are in bytes, rates in bytes per second.
type Stats struct {
	Metadata     bool  // the info dictionary is known
	Complete     bool  // every wanted piece is verified
	Size         int64 // of all files; this and the next three exclude padding
	Wanted       int64 // bytes of wanted files
	Have         int64 // bytes of files in verified pieces
	HaveWanted   int64 // bytes of wanted files in verified pieces
	Pieces       int
	HavePieces   int
	DownRate     float64 // payload
	UpRate       float64
	UpLimit      int64 // as set by Config.UpLimit and EvUpLimit
	Downloaded   int64 // payload, in this session
	Uploaded     int64
	Wasted       int64 // received and discarded
	Kept         int64 // bytes of verified pieces that were not received, but kept from an earlier version
	HashFails    int
	Known        int // candidates ever learned that are not banned
	Dialing      int
	Tried        int // addresses dialed at least once
	Refused      int // of those, the ones that have never answered
	Connected    int
	Banned       int   // addresses that are currently not dialed or accepted
	Dropped      Drops // connections ended by the peer's behavior, in this run
	Seeds        int   // connected peers that have everything
	ChokedBy     int   // connected peers that choke us while we are interested
	MetaPeers    int   // connected peers that we expect metadata from
	MetaOffers   int   // connections that have offered metadata in this run
	MetaHave     int64 // bytes of metadata in the most complete assembly
	MetaSize     int64 // 0 until a peer has sent it
	Availability float64
	Paused       bool  // storage failed
	Broken       error // why the metadata, which matches the infohash, is not a valid torrent; the engine stops then
}
