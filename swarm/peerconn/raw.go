package peerconn

import "net"

// RawConn moves bytes without waiting, so that a silent peer occupies neither a goroutine
// nor a buffer. One goroutine may read and one may write at a time; the other methods may
// be called at any time.
//
// A callback is called at most once for each call of AwaitReadable or AwaitWritable,
// perhaps before that call returns. Spurious calls are possible. A callback must return
// at once and must not call the RawConn.
type RawConn interface {
	// TryRead reads what has arrived into b. It returns 0 and no error if nothing has
	// arrived, and io.EOF at the end of the stream.
	TryRead(b []byte) (n int, err error)
	// TryWritev writes as much of the concatenation of vec as is accepted now. vec has at
	// most 1,024 elements (IOV_MAX).
	TryWritev(vec [][]byte) (n int, err error)
	// AwaitReadable calls ready when TryRead has a result again: bytes, the end or an
	// error.
	AwaitReadable(ready func())
	// AwaitWritable calls ready when TryWritev accepts bytes again or fails.
	AwaitWritable(ready func())
	// Shutdown closes both directions. It calls the pending callbacks.
	Shutdown()
	// Release frees the connection's resources. It must be called after Shutdown and
	// last.
	Release()
}

// rawConn returns the RawConn for nc, which must not be used afterwards: nc itself if it
// is one, a socket in the poller if available, otherwise a pump.
func (r *Resources) rawConn(nc net.Conn) RawConn {
	if raw, ok := nc.(RawConn); ok {
		return raw
	}
	if s := r.socket(nc); s != nil {
		return s
	}
	return newPump(nc)
}
