// Package swarm runs torrents. It is the shell around [engine.Engine], which makes all
// decisions and performs no I/O.
//
// A [Torrent] is one goroutine, the loop (torrent.go). It takes everything from the
// inbox, steps it through the engine, and executes the commands. Blocking work happens
// elsewhere and comes back as an event:
//
//	            ┌── connections (conn.go; package peerconn): payload goes to
//	            │      the leased buffer, a small event to the inbox
//	inbox ◀─────┼── dials and handshakes (handshake.go)
//	(inbox.go)  ├── hash and disk workers of the node (store.go)
//	  │         ├── opening, checking, flushing, recovering (storagesession.go)
//	  ▼         └── callers of methods
//	 loop ──step──▶ engine ──drain──▶ commands
//	  │
//	  ├──▶ connections: one flush per turn, written by the loop itself if the
//	  │    system accepts it; blocks are read from storage there
//	  └──▶ the queue of the workers
//
// Connections push into the inbox and may have to wait there; TCP then slows down a peer
// that sends faster than we work. The loop flushes to a connection without ever waiting:
// a peer that does not read is disconnected with FaultSlow.
//
// Payload is kept only in buffers of the node's pool (internal/buf), one for each engine
// slot in use, and in the buffers of active connections. A buffer's reference moves from
// the slot to the store job. Each lease for a requested block holds a reference of its
// own.
//
// A peer's faults are values ([engine.Fault]). A storage failure pauses the torrent, with
// the reason in its [Snapshot], and is retried until it works. Events are reported
// through [Config.OnEvent].
package swarm
