package engine

import (
	"net/netip"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/wire"
)

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
