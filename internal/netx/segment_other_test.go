//go:build !linux

package netx

// forceCut does nothing, because this system never cuts segments.
func forceCut(*udpConn) {}
