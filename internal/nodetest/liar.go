package nodetest

import (
	"bufio"
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/binary"
	"errors"
	"io"
	"net"
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/swarm/wire"
)

// A Lie is what a Liar sends.
type Lie int

const (
	OldItems     Lie = iota // the first item that it has received, again and again
	ForgedItems             // items with a higher number and another infohash, whose signature is wrong
	ForeignItems            // items of another key, with a valid signature
	ItemFlood               // the newest item, up to 32,000 times a second
	Lies                    // the number of lies
)

const (
	// liePause is the time between two items that are no flood. A flood pauses after each floodBatch, or no time
	// would pass in a test with fake time.
	liePause   = 20 * time.Millisecond
	floodPause = time.Millisecond
	floodBatch = 32
	// liarPause is the time between two connections to a peer.
	liarPause = 5 * time.Second
)

// A Liar is a bare peer that sends items (BEP 44) to followers for which none of them has a use. It looks like a follower
// that is complete. Its methods are safe for concurrent use.
type Liar struct {
	lie Lie
	key ed25519.PrivateKey // of its own

	mu           sync.Mutex
	first, last  *wire.ItemMsg // received
	sent, visits int64
}

// NewLiar returns a Liar.
func NewLiar(lie Lie) *Liar {
	seed := make([]byte, ed25519.SeedSize)
	seed[0] = byte(lie)
	return &Liar{lie: lie, key: ed25519.NewKeyFromSeed(seed)}
}

// Sent returns how many items it has sent, over how many connections.
func (l *Liar) Sent() (items, conns int64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.sent, l.visits
}

// Run connects to a peer again and again until ctx ends: a node that has banned it closes each connection.
func (l *Liar) Run(ctx context.Context, dial func(context.Context) (net.Conn, error), infohash func() id.ID) {
	for ctx.Err() == nil {
		if nc, err := dial(ctx); err == nil {
			stop := context.AfterFunc(ctx, func() { nc.Close() })
			_ = l.visit(nc, infohash()) // the peer may end it at any moment
			stop()
		}
		select {
		case <-time.After(liarPause):
		case <-ctx.Done():
		}
	}
}

// Visit connects to a peer of a torrent over nc, and sends items until the peer ends the connection. It closes nc.
func (l *Liar) visit(nc net.Conn, infohash id.ID) error {
	defer nc.Close()
	r := bufio.NewReader(nc)
	if err := l.greet(nc, r, infohash); err != nil {
		return err
	}
	l.mu.Lock()
	l.visits++
	l.mu.Unlock()
	ready, ended := make(chan uint8, 1), make(chan error, 1)
	go func() { ended <- l.listen(r, ready) }()
	var ext uint8
	select {
	case ext = <-ready:
	case err := <-ended:
		return err
	}
	for k := int64(0); ; k++ {
		if m := l.item(k); m != nil {
			nc.SetWriteDeadline(time.Now().Add(time.Minute))
			if _, err := nc.Write(wire.Append(nil, wire.Msg{Type: wire.Extended, Ext: ext, Payload: wire.AppendItem(nil, m)})); err != nil {
				nc.Close()
				return errors.Join(err, <-ended)
			}
			l.mu.Lock()
			l.sent++
			l.mu.Unlock()
		}
		pause := liePause
		if l.lie == ItemFlood {
			if pause = floodPause; k%floodBatch > 0 {
				continue
			}
		}
		select {
		case err := <-ended:
			return err
		case <-time.After(pause):
		}
	}
}

// greet exchanges the handshakes.
func (l *Liar) greet(nc net.Conn, r io.Reader, infohash id.ID) error {
	var reserved wire.Reserved
	reserved.SetFast()
	reserved.SetExtended()
	peerID := id.ID{'-', 'L', 'I', '0', '0', '0', '1', '-', byte(l.lie)}
	b := wire.AppendHandshake(nil, reserved, infohash, peerID)
	b = wire.Append(b, wire.Msg{Type: wire.HaveAll})
	h := wire.AppendExtHandshake(nil, wire.ExtHandshake{Item: wire.ExtItem, UploadOnly: true, UploadKnown: true})
	b = wire.Append(b, wire.Msg{Type: wire.Extended, Ext: wire.ExtHandshakeID, Payload: h})
	nc.SetDeadline(time.Now().Add(time.Minute))
	if _, err := nc.Write(b); err != nil {
		return err
	}
	_, err := io.ReadFull(r, make([]byte, wire.HandshakeLen))
	nc.SetReadDeadline(time.Time{})
	return err
}

// listen reads messages until the connection ends. It passes on the number under which the peer takes items, and
// remembers the items that the peer sends.
func (l *Liar) listen(r io.Reader, ready chan<- uint8) error {
	var b []byte
	for {
		var prefix [wire.PrefixLen]byte
		if _, err := io.ReadFull(r, prefix[:]); err != nil {
			return err
		}
		b = append(b[:0], make([]byte, binary.BigEndian.Uint32(prefix[:]))...)
		if _, err := io.ReadFull(r, b); err != nil {
			return err
		}
		m, err := wire.Parse(b)
		if err != nil {
			return err
		}
		if m.Type != wire.Extended {
			continue
		}
		switch m.Ext {
		case wire.ExtHandshakeID:
			h, err := wire.ParseExtHandshake(m.Payload)
			if err != nil {
				return err
			}
			if h.Item != 0 {
				select {
				case ready <- h.Item:
				default:
				}
			}
		case wire.ExtItem:
			i, err := wire.ParseItem(m.Payload)
			if err != nil {
				return err
			}
			l.note(i.Clone())
		}
	}
}

func (l *Liar) note(i *wire.ItemMsg) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.first == nil {
		l.first = i
	}
	if l.last == nil || i.Seq > l.last.Seq {
		l.last = i
	}
}

// item returns the k-th item of a connection, or nil if it knows none yet.
func (l *Liar) item(k int64) *wire.ItemMsg {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.last == nil {
		return nil
	}
	switch l.lie {
	case OldItems:
		return l.first
	case ForgedItems:
		m := l.last.Clone()
		m.Seq += 1 + k
		if at := bytes.Index(m.Value, []byte("2:ih20:")); at >= 0 {
			m.Value[at+len("2:ih20:")] ^= 1
		}
		return m
	case ForeignItems:
		i, err := dht.SignItem(l.key, l.last.Salt, k, l.last.Value)
		if err != nil {
			panic(err)
		}
		return &wire.ItemMsg{Key: i.Key, Salt: i.Salt, Seq: i.Seq, Sig: i.Sig, Value: i.Value}
	}
	return l.last
}
