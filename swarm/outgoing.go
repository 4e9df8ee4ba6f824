package swarm

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/swarm/mse"
	"seedbed/swarm/wire"
)

// firstByteTimeout, plus twice the time that dialing took, is how long a peer that may
// want the other kind of handshake has to start its answer. A peer that requires
// encryption reacts to an unencrypted handshake by hanging up, by waiting for more
// (rain), or by sending the key of an encrypted handshake (anacrolix/torrent).
const firstByteTimeout = 3 * time.Second

// Outgoing connects to one peer and completes a handshake.
type Outgoing struct {
	// Dial makes a connection. If it fails, there are no further attempts.
	Dial func(ctx context.Context) (net.Conn, error)
	// Encryption decides which kinds of handshake to try.
	Encryption Encryption
	// Hellos are our handshakes, one for each infohash of the torrent, in the order in
	// which they are tried.
	Hellos []OutgoingHello
	// Accepts reports whether answer is a valid infohash in the answer to a handshake
	// with asked.
	Accepts func(asked, answer id.ID) bool
}

// OutgoingHello is one of our handshakes.
type OutgoingHello struct {
	InfoHash id.ID
	Bytes    []byte // wire.HandshakeLen bytes
}

// Handshake is a connection that has completed its handshake.
type Handshake struct {
	Conn      net.Conn // a *mse.Conn if Encrypted
	Encrypted bool     // the handshake was encrypted; the connection may be too
	Reserved  wire.Reserved
	InfoHash  id.ID // as the peer sent it
	PeerID    id.ID
}

// errHungUp means that the peer closed the connection during the handshake. It may want
// another infohash or the other kind of handshake.
var errHungUp = errors.New("closed during the handshake")

// errOtherKind means that the peer seems to want the other kind of handshake (encrypted
// or not): it does not answer, or sends bytes that are not a handshake.
var errOtherKind = errors.New("no answer to this kind of handshake")

// errSilent is the errOtherKind of a peer that sent nothing within firstByteTimeout.
var errSilent = fmt.Errorf("%w: the peer is silent", errOtherKind)

// Connect tries the kinds of handshake and the infohashes one after the other, each on a
// new connection. encrypted says that the peer is known to support encryption, which is
// then tried first. All attempts together may take HandshakeTimeout, not counting the
// time for dialing. If they fail, next says whether encryption should be tried first
// next time.
func (o *Outgoing) Connect(ctx context.Context, encrypted bool) (h Handshake, next bool, err error) {
	kinds := o.Encryption.handshakes(encrypted)
	left := HandshakeTimeout
	var excluded [2]bool // kinds of handshake that the peer does not answer
	var slow []attempt   // attempts whose answer may have been late
	next = encrypted
	try := func(a attempt) error {
		h, err = o.try(ctx, a, &left)
		if err == nil {
			return nil
		}
		if errors.Is(err, errOtherKind) || errors.Is(err, errHungUp) {
			next = a.offer == unencrypted && o.Encryption != NoEncryption
		}
		return err
	}
	for _, hello := range o.Hellos {
		for i, offer := range kinds {
			if excluded[i] {
				continue
			}
			a := attempt{hello: hello, offer: offer, otherKindLeft: len(kinds) > 1 && !excluded[1-i]}
			switch try(a); {
			case errors.Is(err, errOtherKind):
				excluded[i] = true
				if errors.Is(err, errSilent) && a.otherKindLeft {
					slow = append(slow, a)
				}
			case !errors.Is(err, errHungUp):
				return h, next, err
			}
		}
	}
	if len(slow) > 0 && errors.Is(err, errHungUp) {
		a := slow[0]
		a.otherKindLeft = false
		try(a)
	}
	return h, next, err
}

// attempt is one way to open a connection: with a certain infohash, and unencrypted or
// with the methods that an encrypted handshake offers.
type attempt struct {
	hello         OutgoingHello
	offer         mse.Methods
	otherKindLeft bool // the other kind of handshake can be tried after this one
}

// try makes one attempt and subtracts its duration from left.
func (o *Outgoing) try(ctx context.Context, a attempt, left *time.Duration) (Handshake, error) {
	dialStart := time.Now()
	nc, err := o.Dial(ctx)
	if err != nil {
		return Handshake{}, err
	}
	start := time.Now()
	in := answer{nc: nc, by: start.Add(max(*left, firstByteTimeout))}
	first := in.by
	if a.otherKindLeft {
		first = start.Add(min(firstByteTimeout+2*start.Sub(dialStart), *left))
	}
	h := Handshake{Conn: nc, Encrypted: a.offer != unencrypted}
	err = shake(ctx, nc, first, func() error { return o.exchange(&h, a, &in) })
	*left -= time.Since(start)
	if err == nil {
		return h, nil
	}
	nc.Close()
	return Handshake{}, o.reason(ctx, a, &in, err)
}

// exchange sends our handshake and reads the peer's.
func (o *Outgoing) exchange(h *Handshake, a attempt, in *answer) error {
	if h.Encrypted {
		r, err := mse.Initiate(in, a.hello.InfoHash, a.offer, a.hello.Bytes, rand.Reader)
		if err != nil {
			return err
		}
		h.Conn = r.Wrap(in.nc)
	} else if _, err := in.Write(a.hello.Bytes); err != nil {
		return err
	}
	var b [wire.HandshakeLen]byte
	var err error
	if h.Encrypted {
		_, err = readHello(h.Conn, b[:])
	} else {
		var n int
		n, err = readHello(in, b[:])
		in.isText = isText(b[:n])
	}
	if err != nil {
		return err
	}
	if h.Reserved, h.InfoHash, h.PeerID, err = wire.ParseHandshake(b[:]); err != nil {
		return err
	}
	in.isHandshake = true
	if !o.Accepts(a.hello.InfoHash, h.InfoHash) {
		return fmt.Errorf("%w: %w", ErrOtherTorrent, &wire.Error{Kind: wire.BadHandshake})
	}
	return nil
}

// reason wraps the error of an attempt to show what may be tried next.
func (o *Outgoing) reason(ctx context.Context, a attempt, in *answer, err error) error {
	if ctx.Err() != nil || in.isHandshake {
		return err
	}
	var me *mse.Error
	switch why := netx.ReasonOf(err); {
	case why == netx.Reset:
		return fmt.Errorf("%w: %w", errHungUp, err)
	case why == netx.TimedOut && !in.began:
		return fmt.Errorf("%w: %w", errSilent, err)
	case a.offer == unencrypted && isBad(err) && !in.isText, errors.As(err, &me):
		return fmt.Errorf("%w: %w", errOtherKind, err)
	}
	return err
}

// answer is the connection during an attempt. The first byte that arrives extends its
// deadline.
type answer struct {
	nc          net.Conn
	by          time.Time
	began       bool // a byte has arrived
	isText      bool // what arrived is text, so the sender is not a peer
	isHandshake bool // what arrived is a peer's handshake
}

// Read implements io.Reader.
func (a *answer) Read(b []byte) (int, error) {
	n, err := a.nc.Read(b)
	if n > 0 && !a.began {
		a.began = true
		if e := a.nc.SetDeadline(a.by); err == nil {
			err = e
		}
	}
	return n, err
}

// Write implements io.Writer.
func (a *answer) Write(b []byte) (int, error) { return a.nc.Write(b) }

var _ io.ReadWriter = (*answer)(nil)

// isText reports whether b is text, as sent by SSH, SMTP, FTP or HTTP servers. The key of
// an encrypted handshake is random, so 68 bytes of it are never text.
func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return len(b) > 0
}

// shake runs a handshake with a deadline, and aborts it when ctx ends.
func shake(ctx context.Context, nc net.Conn, by time.Time, f func() error) error {
	if err := nc.SetDeadline(by); err != nil {
		return err
	}
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	err := f()
	if !stop() {
		return net.ErrClosed
	}
	if err != nil {
		return err
	}
	return nc.SetDeadline(time.Time{})
}
