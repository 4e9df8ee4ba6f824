package mse

import (
	"crypto/rc4"
	"net"
	"slices"
)

// Stream encrypts the data after a handshake. Its two directions are independent, and
// each must process every byte once and in order. It takes 2 KiB.
type Stream struct{ in, out *rc4.Cipher }

// Encrypt encrypts in place what is sent next.
func (s *Stream) Encrypt(b []byte) { s.out.XORKeyStream(b, b) }

// Decrypt decrypts in place what was received next.
func (s *Stream) Decrypt(b []byte) { s.in.XORKeyStream(b, b) }

// Conn is a connection just after its handshake: it first reads the early bytes, and
// encrypts copies. For long-term use, call Unwrap.
type Conn struct {
	net.Conn
	early  []byte
	stream *Stream // nil without encryption
}

// Wrap returns a connection that continues nc after its handshake.
func (r *Result) Wrap(nc net.Conn) *Conn { return &Conn{nc, r.Early, r.Stream} }

// Unwrap ends the use of c. From now on nc must be read and written directly, through
// stream unless that is nil. early has already been read and decrypted.
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

// Write implements net.Conn. After an error the connection is unusable.
func (c *Conn) Write(b []byte) (int, error) {
	if c.stream != nil {
		b = slices.Clone(b)
		c.stream.Encrypt(b)
	}
	return c.Conn.Write(b)
}
