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

// firstByteTimeout is how long a peer that may want the other kind of handshake
// has to begin its answer, beside twice the time that its connection took. Peers
// that require encryption hang up on a handshake in the clear, wait for more
// (rain), or send the key of an encrypted handshake (anacrolix/torrent).
const firstByteTimeout = 3 * time.Second

// Outgoing makes connections to one peer and completes the handshake on one of them.
type Outgoing struct {
	// Dial makes a connection. Its error ends the attempts.
	Dial func(ctx context.Context) (net.Conn, error)
	// Encryption decides which kinds of handshake are tried.
	Encryption Encryption
	// Hellos are our handshakes, one for each infohash by which the torrent goes,
	// in the order in which they are tried.
	Hellos []OutgoingHello
	// Accepts reports whether answer may follow a handshake that named asked.
	Accepts func(asked, answer id.ID) bool
}

// OutgoingHello is one handshake of ours.
type OutgoingHello struct {
	InfoHash id.ID
	Bytes    []byte // wire.HandshakeLen of them
}

// Handshake is a connection that has completed its handshake.
type Handshake struct {
	Conn      net.Conn // a *mse.Conn if Encrypted
	Encrypted bool     // the handshake, and perhaps what follows
	Reserved  wire.Reserved
	InfoHash  id.ID // as the peer named it
	PeerID    id.ID
}

// errHungUp ends the handshake with a peer that closed the connection over it. It
// may want another infohash or the other kind of handshake.
var errHungUp = errors.New("closed in the handshake")

// errOtherKind ends the handshake with a peer that seems to want the other kind
// (encrypted or in the clear): it answers nothing, or bytes that are no handshake.
var errOtherKind = errors.New("no answer to this kind of handshake")

// errSilent is the errOtherKind of a peer that has sent nothing in firstByteTimeout.
var errSilent = fmt.Errorf("%w: it is silent", errOtherKind)

// Connect tries the kinds of handshake and the infohashes one after the other, each
// on a connection of its own. encrypted says that the peer is known to encrypt:
// that kind is tried first then. All attempts together may take HandshakeTimeout,
// beside the time of dialling. When they fail, next says whether the encrypted kind
// should be tried first another time.
func (o *Outgoing) Connect(ctx context.Context, encrypted bool) (h Handshake, next bool, err error) {
	kinds := o.Encryption.ways(encrypted)
	left := HandshakeTimeout
	var isOut [2]bool  // kinds to which the peer has answered something else, or nothing
	var slow []attempt // kinds whose answer may have been late
	next = encrypted
	try := func(a attempt) error {
		h, err = o.try(ctx, a, &left)
		if err == nil {
			return nil
		}
		if errors.Is(err, errOtherKind) || errors.Is(err, errHungUp) {
			next = a.offer == inTheClear && o.Encryption != NoEncryption
		}
		return err
	}
	for _, hello := range o.Hellos {
		for i, offer := range kinds {
			if isOut[i] {
				continue
			}
			a := attempt{hello: hello, offer: offer, hasOther: len(kinds) > 1 && !isOut[1-i]}
			switch try(a); {
			case errors.Is(err, errOtherKind):
				isOut[i] = true
				if errors.Is(err, errSilent) && a.hasOther {
					slow = append(slow, a)
				}
			case !errors.Is(err, errHungUp):
				return h, next, err
			}
		}
	}
	if len(slow) > 0 && errors.Is(err, errHungUp) {
		a := slow[0]
		a.hasOther = false
		try(a)
	}
	return h, next, err
}

// An attempt is one way to open a connection: by an infohash, and in the clear or
// with what an encrypted handshake offers.
type attempt struct {
	hello    OutgoingHello
	offer    mse.Methods
	hasOther bool // the other kind of handshake can be tried after this one
}

// try makes one attempt, which takes its time from left.
func (o *Outgoing) try(ctx context.Context, a attempt, left *time.Duration) (Handshake, error) {
	dialled := time.Now()
	nc, err := o.Dial(ctx)
	if err != nil {
		return Handshake{}, err
	}
	begun := time.Now()
	in := answer{nc: nc, by: begun.Add(max(*left, firstByteTimeout))}
	first := in.by
	if a.hasOther {
		first = begun.Add(min(firstByteTimeout+2*begun.Sub(dialled), *left))
	}
	h := Handshake{Conn: nc, Encrypted: a.offer != inTheClear}
	err = shake(ctx, nc, first, func() error { return o.exchange(&h, a, &in) })
	*left -= time.Since(begun)
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
		return &wire.Error{Kind: wire.BadHandshake}
	}
	return nil
}

// reason adds to the error of an attempt what may be tried after it.
func (o *Outgoing) reason(ctx context.Context, a attempt, in *answer, err error) error {
	if ctx.Err() != nil || in.isHandshake {
		return err
	}
	var me *mse.Error
	switch why := netx.Why(err); {
	case why == netx.Reset:
		return fmt.Errorf("%w: %w", errHungUp, err)
	case why == netx.TimedOut && !in.began:
		return fmt.Errorf("%w: %w", errSilent, err)
	case a.offer == inTheClear && isBad(err) && !in.isText, errors.As(err, &me):
		return fmt.Errorf("%w: %w", errOtherKind, err)
	}
	return err
}

// answer is the connection during an attempt. The first byte that arrives renews
// its deadline.
type answer struct {
	nc          net.Conn
	by          time.Time
	began       bool // a byte has arrived
	isText      bool // what arrived is text, so that the sender is no peer
	isHandshake bool // what arrived is the handshake of a peer
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

// isText reports whether b is what SSH, SMTP, FTP or HTTP servers send. The key of an
// encrypted handshake is random: 68 bytes of it are never text.
func isText(b []byte) bool {
	for _, c := range b {
		if (c < ' ' || c > '~') && c != '\r' && c != '\n' && c != '\t' {
			return false
		}
	}
	return len(b) > 0
}

// shake runs a handshake under its deadline, and ends it when ctx does.
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
