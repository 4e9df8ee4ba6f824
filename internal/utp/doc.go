// Package utp implements uTP (BEP 29): a reliable byte stream over UDP that yields to
// other traffic. A [Conn] is one side of one connection, as a state machine. Packets and
// the time go in; packets, data and a deadline come out.
//
// The caller owns the socket, the clock and the lock. It calls [Conn.Receive] for each
// packet of the connection, then [Conn.Output] until there is nothing left to send. It
// calls Output again when [Conn.Deadline] has come, and after each Write, Read, Close or
// Reset. A Conn is not safe for concurrent use.
//
// A Conn keeps to these limits, whatever the other side sends: it buffers at most
// Config.ReceiveBuffer bytes of received data, it has at most 1,000 packets in flight, and
// it answers a packet with at most one acknowledgement. Until the other side has proved
// that it receives what we send, a Conn sends no data.
//
// Sizes of packets are bytes of UDP payload. Times in headers are microseconds modulo
// 2^32.
//
//	conn.go      the connection and its states
//	receive.go   what a received packet does
//	output.go    what is sent, and when
//	recovery.go  which packets are lost, and timeouts
//	ledbat.go    how much may be in flight (LEDBAT)
//	target.go    how long queues may become
//	delay.go     the delay of queues on the path
//	nudge.go     what asks which packets have arrived
//	mtu.go       how long packets may be
package utp
