// Package utpconn runs uTP connections (BEP 29) on the UDP sockets of a node. A [Transport]
// dials and accepts; a [Stream] is a connection, as a net.Conn for handshakes and as the
// non-blocking connection that package peerconn uses. What a connection sends and when is
// decided by package utp; here are the sockets, the clock, the locks and the limits.
//
//	  socket (netx)                  Transport                       Stream
//	┌───────────────┐  batch  ┌────────────────────────┐ Receive ┌──────────┐
//	│ reader        │────────▶│ by address and id      │────────▶│ utp.Conn │◀─ TryRead,
//	│               │         │ unknown: SYN or reset  │         │          │   TryWritev
//	│               │◀────────│────────────────────────│─────────│          │
//	└───────────────┘ segments│ one timer for all      │  Output └──────────┘
//	                          └────────────────────────┘
//
// A batch is given to all its connections before each of them sends once, so that one
// acknowledgement covers what arrived together. A burst goes out in one system call.
//
// # Goroutines and locks
//
// A Stream has no goroutine. The reader of a socket, the goroutine of the timers and the
// callers of a Stream take its lock and send what is due. A lock of a Stream is taken
// before that of the Transport, never after.
//
// # Attackers
//
// The source of a packet can be forged. Until the other side has proved that it receives
// what we send, it gets one packet of 20 bytes for a packet of at least that length, and
// one address gets only few of them a second. Half-open connections, connections of one
// host and connections that are being closed are limited.
package utpconn
