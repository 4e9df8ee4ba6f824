// Package swarm runs torrents: it is the shell around [engine.Engine], which
// decides everything and does nothing.
//
// A [Torrent] is one goroutine that turns (torrent.go): it takes all that came
// in, steps it through the engine, and carries out the commands. What blocks
// happens elsewhere and comes back as an event:
//
//	            ┌── connections (conn.go; package peerconn): payload goes to
//	            │      the leased buffer, a small event to the inbox
//	inbox ◀─────┼── dials and handshakes (handshake.go)
//	(inbox.go)  ├── hash and disk workers, the node's (store.go)
//	  │         ├── opening, checking, flushing, mending (content.go)
//	  ▼         └── whoever calls a method
//	 loop ──step──▶ engine ──drain──▶ commands
//	  │
//	  ├──▶ connections: one flush a turn, written by the loop itself if the
//	  │    system accepts it; blocks are read from storage there
//	  └──▶ the queue of the workers
//
// Connections push into the inbox and may have to wait there: so TCP slows a
// peer that sends faster than we work. The loop flushes to a connection and never
// waits: a peer that does not read is disconnected with FaultSlow.
//
// Payload is in memory only in a buffer of the node's pool (internal/buf), which
// stands behind an engine's slot, and in the buffers of connections that data is
// flowing on. A buffer's reference moves with it: from the slot to the store job,
// and a lease of a block on order holds one of its own.
//
// A peer's faults are values ([engine.Fault]); storage that fails pauses the
// torrent, with the sentence in its [Snapshot], and is tried again until it
// works. What a torrent has to tell comes through [Config.OnEvent].
package swarm
