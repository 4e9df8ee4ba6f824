package peerconn

import "net"

// A RawConn moves bytes without a wait: neither a goroutine nor a buffer is
// committed to a peer that is silent. One goroutine reads and one writes at a
// time; the others may be called at any time.
//
// A callback is called at most once for each call of AwaitReadable or
// AwaitWritable, perhaps before that returns. It may be called for no reason. It
// must return at once and must not call the RawConn.
type RawConn interface {
	// TryRead reads what has arrived into b. n is 0 with no error when nothing has.
	// The end of the stream is io.EOF.
	TryRead(b []byte) (n int, err error)
	// TryWritev writes what is accepted now of the concatenation of vec, which has
	// at most 1,024 elements (IOV_MAX).
	TryWritev(vec [][]byte) (n int, err error)
	// AwaitReadable calls ready when TryRead returns something again: bytes, the
	// end or an error.
	AwaitReadable(ready func())
	// AwaitWritable calls ready when TryWritev accepts something again or fails.
	AwaitWritable(ready func())
	// Shutdown ends both directions. It calls the callbacks that are due.
	Shutdown()
	// Release frees what the connection holds. Shutdown comes before, and no call
	// comes after.
	Release()
}

// rawConn returns the RawConn for nc, which must not be used any more: nc itself
// if it is one, a socket in the poller where the system has that, or a pump.
func (r *Resources) rawConn(nc net.Conn) RawConn {
	if raw, ok := nc.(RawConn); ok {
		return raw
	}
	if s := r.socket(nc); s != nil {
		return s
	}
	return newPump(nc)
}
