// Package peerconn handles one connection to a peer after its handshake: it turns bytes
// into events for a torrent, and a torrent's messages and uploads into bytes. It does not
// decide about pieces: its [Owner] decides what to request, which peers to serve and when
// to close.
//
//	                   Owner (the torrent's loop)
//	  Arrived ▲                                    │ Flush(control, uploads)
//	          │                                    ▼
//	┌─────────┴────────┐            ┌── control queue   upload queue ──┐
//	│ reader           │            │   (bytes)             (blocks)   │
//	│ frames ─▶ events │            │                           │      │
//	│ payload ─▶ buf.  │◀─ requests │              admission ◀── shaper│
//	└─────────▲────────┘            │                           │      │
//	          │                     │   ┌───────────────────────▼────┐ │
//	          │                     └──▶│ sender                     │◀┘
//	          │                         │ 1. rest of a cut-off block │
//	          │                         │ 2. control messages        │
//	          │                         │ 3. a batch of blocks,      │◀─ Owner.ReadAt
//	          │                         │    read into a buffer      │
//	          │ TryRead                 └────────────┬───────────────┘
//	          │                                      │ TryWritev
//	┌─────────┴──────────────────────────────────────▼───────────────┐
//	│ RawConn: a socket and the poller, a net.Conn and a pump, or    │
//	│ a simulated stream                                             │
//	└────────────────────────────────────────────────────────────────┘
//
// # No goroutine waits for a peer
//
// A [RawConn] never blocks. If nothing can be read, the reader returns its buffer,
// registers a callback for new bytes, and its goroutine ends. The sender does the same if
// nothing can be written, and both do so if a rate limit grants nothing. So an idle
// connection has no goroutine and no buffer, and a peer that accepts nothing holds at
// most the rest of one block. One wait is intended: the reader waits in Owner.Arrived
// while the torrent is behind, so that TCP slows the peer down.
//
// # Sending order
//
// Control messages (requests, haves, chokes, cancels, rejects, PEX) precede piece
// payload, even the rest of a batch; only a block that was cut off is completed first.
// The upload limit controls the admission of blocks: a block is sent when the shaper
// grants its bytes. A control message counts against the limit but never waits for it.
// Every block has its place in the shaper's queue from Flush on, so the connections of a
// torrent send their blocks in the order of the calls of Flush.
//
// # Time
//
// The write deadline depends on progress: it is set when bytes wait for the kernel,
// extended when some are accepted, and removed when none wait. Waiting for the shaper or
// the disk does not count.
//
// # Errors
//
// A connection ends once: by Close with an [engine.Fault], or by an error of the peer (a
// *wire.Error) or the system. Owner.Ended gets the first reason. All units are bytes.
package peerconn
