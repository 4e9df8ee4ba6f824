package mse

import (
	"crypto/rc4"
	"net"
	"slices"
)

// Stream encrypts what follows a handshake. Its two directions are independent
// of each other, and each must see every byte once and in order. It takes 2 KiB.
type Stream struct{ in, out *rc4.Cipher }

// Encrypt makes ready in place what is sent next.
func (s *Stream) Encrypt(b []byte) { s.out.XORKeyStream(b, b) }

// Decrypt makes legible in place what came next.
func (s *Stream) Decrypt(b []byte) { s.in.XORKeyStream(b, b) }

// Conn is a connection after its handshake, for as long as little is said: it
// reads first what came along, and encrypts a copy. For the long run there is
// Unwrap.
type Conn struct {
	net.Conn
	early  []byte
	stream *Stream // nil: in the clear
}

// Wrap goes on with nc after its handshake.
func (r *Result) Wrap(nc net.Conn) *Conn { return &Conn{nc, r.Early, r.Stream} }

// Unwrap ends the use of c: nc is to be read and written directly from now on,
// with stream, unless that is nil, around all but early, which has been read and
// decrypted already.
func (c *Conn) Unwrap() (nc net.Conn, early []byte, stream *Stream) {
	return c.Conn, c.early, c.stream
}

// Read implements net.Conn.
func (c *Conn) Read(b []byte) (int, error) {
	if len(c.early) > 0 {
		n := copy(b, c.early)
		c.early = c.early[n:]
		return n, nil
	}
	n, err := c.Conn.Read(b)
	if c.stream != nil {
		c.stream.Decrypt(b[:n])
	}
	return n, err
}

// Write implements net.Conn. After an error the connection is of no use.
func (c *Conn) Write(b []byte) (int, error) {
	if c.stream != nil {
		b = slices.Clone(b)
		c.stream.Encrypt(b)
	}
	return c.Conn.Write(b)
}
