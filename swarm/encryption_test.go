package swarm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
	"seedbed/swarm/engine"
	"seedbed/swarm/mse"
	"seedbed/swarm/wire"
)

func encryption(e Encryption) option {
	return func(c *Config, _ *SharedConfig) { c.Encryption = e }
}

// Every policy meets every other, and the bytes arrive or nothing does.
func TestEncryptionPolicies(t *testing.T) {
	for _, c := range []struct {
		dials, accepts Encryption
		meet           bool
	}{
		{PreferPlain, PreferPlain, true},
		{PreferPlain, NoEncryption, true},
		{PreferPlain, RequireEncryption, true},
		{NoEncryption, PreferPlain, true},
		{NoEncryption, NoEncryption, true},
		{NoEncryption, RequireEncryption, false},
		{RequireEncryption, PreferPlain, true},
		{RequireEncryption, NoEncryption, false},
		{RequireEncryption, RequireEncryption, true},
	} {
		t.Run(fmt.Sprintf("%d to %d", c.dials, c.accepts), func(t *testing.T) {
			info, full := makeContent(t, 3<<20+5, 256<<10)
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
				seed := startNode(t, n, 1, info, full, encryption(c.accepts))
				defer seed.close()
				leech := startNode(t, n, 2, info, nil, encryption(c.dials))
				defer leech.close()
				leech.meet(seed)
				if c.meet {
					leech.await(Complete, time.Minute)
					leech.same(full)
					return
				}
				time.Sleep(time.Minute)
				if _, ok := leech.saw(KnownPeer); ok {
					t.Error("they have met")
				}
			})
		})
	}
}

// tap is a peer that requires encryption, and counts who came how.
type tap struct {
	clear, encrypted atomic.Int32
}

func (p *tap) serve(ctx context.Context, l netx.Listener, info id.ID) {
	for {
		nc, err := l.Accept(ctx)
		if err != nil {
			return
		}
		first := make([]byte, 20)
		if _, err := io.ReadFull(nc, first); err != nil {
			continue
		}
		if bytes.HasPrefix(first, []byte("\x13BitTorrent")) {
			p.clear.Add(1)
			nc.Close()
			continue
		}
		r, err := mse.Receive(nc, first, func([20]byte) (id.ID, bool) { return info, true }, RequireEncryption.choose, zeros{})
		if err != nil {
			continue
		}
		p.encrypted.Add(1)
		c := r.Wrap(nc)
		io.ReadFull(c, make([]byte, wire.HandshakeLen))
		c.Write(wire.AppendHandshake(nil, wire.Reserved{}, info, id.ID{9}))
		time.Sleep(time.Second)
		nc.Close()
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); b[0] = 7; return len(b), nil }

// Who took to encryption once is dialled so from then on.
func TestEncryptionIsRemembered(t *testing.T) {
	info, _ := makeContent(t, 1<<20, 256<<10)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
		leech := startNode(t, n, 2, info, nil)
		defer leech.close()
		at := netip.MustParseAddrPort("10.0.0.7:6881")
		l, err := n.Host(at.Addr()).Listen(at.Port())
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		var p tap
		go p.serve(t.Context(), l, info.Hash)
		leech.AddCandidates([]engine.Candidate{{Addr: at, Source: engine.FromHint}})
		time.Sleep(10 * time.Minute)
		if clear, encrypted := p.clear.Load(), p.encrypted.Load(); clear != 1 || encrypted < 3 {
			t.Errorf("%d times in the clear, %d times encrypted", clear, encrypted)
		}
	})
}

// What an incoming connection begins with is told apart however it is cut, and
// costs its sender alone.
func TestReadHello(t *testing.T) {
	info := id.ID{5}
	find := func(k [20]byte) (id.ID, bool) { return info, k == KeyHash(info) }
	shake := wire.AppendHandshake(nil, wire.Reserved{}, info, id.ID{})
	for _, c := range []struct {
		name   string
		policy Encryption
		say    func(nc net.Conn)
		ok     bool
	}{
		{"clear", PreferPlain, func(nc net.Conn) { nc.Write(shake) }, true},
		{"clear in pieces", PreferPlain, func(nc net.Conn) {
			for i := range shake {
				nc.Write(shake[i : i+1])
			}
		}, true},
		{"clear where encryption is required", RequireEncryption, func(nc net.Conn) { nc.Write(shake) }, false},
		{"encrypted", PreferPlain, func(nc net.Conn) { initiate(nc, info, mse.RC4, shake) }, true},
		{"encrypted where there is none", NoEncryption, func(nc net.Conn) { initiate(nc, info, mse.RC4, shake) }, false},
		{"of another torrent", PreferPlain, func(nc net.Conn) { initiate(nc, id.ID{6}, mse.RC4, shake) }, false},
		{"of one torrent outside and another inside", PreferPlain, func(nc net.Conn) {
			initiate(nc, info, mse.RC4, wire.AppendHandshake(nil, wire.Reserved{}, id.ID{6}, id.ID{}))
		}, false},
		{"noise", PreferPlain, func(nc net.Conn) { nc.Write(bytes.Repeat([]byte{0xaa}, 2000)) }, false},
		{"silence", PreferPlain, func(net.Conn) {}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
				at := netip.MustParseAddrPort("10.0.0.1:6881")
				l, err := n.Host(at.Addr()).Listen(at.Port())
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				go func() {
					nc, err := n.Host(netip.MustParseAddr("10.0.0.2")).Dial(t.Context(), at)
					if err != nil {
						t.Error(err)
						return
					}
					c.say(nc)
				}()
				nc, err := l.Accept(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				defer time.Sleep(time.Second) // the other end notices
				defer nc.Close()
				h, err := ReadHello(nc, c.policy, find)
				if (err == nil) != c.ok || c.ok && h.InfoHash != info {
					t.Errorf("%+v, %v", h, err)
				}
				var me *mse.Error
				var we *wire.Error
				if !c.ok && c.name != "silence" && !errors.As(err, &me) && !errors.As(err, &we) {
					t.Errorf("an error of no type: %v", err)
				}
			})
		})
	}
}
