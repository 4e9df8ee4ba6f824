// Package peerconn is one connection to a peer after its handshake: it turns
// bytes into events for a torrent, and a torrent's messages and uploads into
// bytes. It decides nothing about pieces: what to request, whom to serve and when
// to close is up to its [Owner].
//
//	                   Owner (the torrent's loop)
//	  Arrived ▲                                    │ Flush(control, uploads)
//	          │                                    ▼
//	┌─────────┴────────┐            ┌── control queue   upload queue ──┐
//	│ reader           │            │   (bytes)             (blocks)   │
//	│ frames ─▶ events │            │                           │      │
//	│ payload ─▶ buf.  │◀─ Orders   │              admission ◀── shaper│
//	└─────────▲────────┘            │                           │      │
//	          │                     │   ┌───────────────────────▼────┐ │
//	          │                     └──▶│ sender                     │◀┘
//	          │                         │ 1. the rest of what is cut │
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
// # Nothing waits inside
//
// A [RawConn] never blocks. Where nothing can be read the reader gives its buffer
// back, asks to be called when bytes arrive, and its goroutine ends; the sender does
// the same where nothing can be written, and both do so where a rate limit has
// nothing to grant. So an idle connection has no goroutine and no buffer, and a
// peer that accepts nothing has at most the rest of one block. One wait remains,
// on purpose: the reader waits in Owner.Arrived while the torrent is behind, so
// that TCP slows the peer down.
//
// # Order of what is sent
//
// Control messages (requests, haves, chokes, cancels, rejects, PEX) go before
// piece payload, also before the rest of a batch of blocks: only the block that
// is cut is completed first. The limit of the upload rate is admission. A block
// is sent when the shaper grants its bytes; a control message is counted and never
// waits for it. Every block that waits has its place in the shaper's queue from Flush
// on, so the connections of a torrent send their blocks in the order of the calls of
// Flush.
//
// # Time
//
// The write deadline belongs to progress: it is set when bytes wait for the
// kernel, renewed when some are accepted, and lifted when none wait. Neither the
// wait for the shaper nor for the disk counts.
//
// # Errors
//
// A connection ends once: by Close with an [engine.Fault], or by an error of the
// peer's (a *wire.Error) or of the system's. Owner.Ended gets whichever was first.
// Units are bytes everywhere.
package peerconn
