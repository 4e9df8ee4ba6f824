package engine

import (
	"net/netip"

	"seedbed/internal/addrs"
	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

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
	// Fixed says that storage cannot be written to. Pieces that it loses are not requested from peers.
	Fixed bool
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

// EvReachable reports that the data of the pieces that BlockAway named can be reached again.
type EvReachable struct{}

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

// EvPartners sets the addresses of other seeds that have what we have, at most MaxPartners. Peers are told of them by PEX.
type EvPartners struct{ Addrs []netip.AddrPort }

// MaxPartners is the largest number of addresses in an EvPartners.
const MaxPartners = 16

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
func (*EvPartners) event()      {}
func (*EvReachable) event()     {}
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
