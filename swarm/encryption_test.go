package swarm

import (
	"bytes"
	"context"
	"crypto/rand"
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

// With every combination of policies, either the bytes arrive or no connection is made.
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
				leech.addPeers(seed)
				if c.meet {
					leech.await(Complete, time.Minute)
					leech.checkContent(full)
					return
				}
				time.Sleep(time.Minute)
				if _, ok := leech.eventTime(KnownPeer); ok {
					t.Error("they connected")
				}
			})
		})
	}
}

// encryptingPeer is a peer that requires encryption and counts the kinds of handshake it receives.
type encryptingPeer struct {
	reaction         reaction
	plain, encrypted atomic.Int32
	encryptedAt      atomic.Int64 // when the first encrypted handshake completed, in Unix nanoseconds
}

// reaction is how an encryptingPeer reacts to an unencrypted handshake.
type reaction string

const (
	hangsUp    reaction = "hangs up"
	isSilent   reaction = "is silent"    // like rain
	sendsAKey  reaction = "sends a key"  // like anacrolix/torrent, before it reads anything
	sendsNoise reaction = "sends noise"  // a key that starts like a handshake
	sendsText  reaction = "sends a text" // not a peer
)

func (p *encryptingPeer) serve(ctx context.Context, l netx.Listener, info id.ID) {
	for {
		nc, err := l.Accept(ctx)
		if err != nil {
			return
		}
		go p.peer(ctx, nc, info)
	}
}

func (p *encryptingPeer) peer(ctx context.Context, nc net.Conn, info id.ID) {
	defer nc.Close()
	stop := context.AfterFunc(ctx, func() { nc.Close() })
	defer stop()
	switch p.reaction {
	case sendsText:
		nc.Write([]byte("SSH-2.0-OpenSSH_9.9\r\n"))
	case sendsNoise:
		nc.Write(append([]byte("\x13Bit"), bytes.Repeat([]byte{0x9a}, 92)...))
	}
	first := make([]byte, 20)
	if _, err := io.ReadFull(nc, first); err != nil {
		return
	}
	if bytes.HasPrefix(first, []byte("\x13BitTorrent")) {
		p.plain.Add(1)
		switch p.reaction {
		case sendsAKey:
			nc.Write(bytes.Repeat([]byte{0x9a, 0x01, 0xf3}, 32))
			fallthrough
		case isSilent, sendsNoise, sendsText:
			io.Copy(io.Discard, nc)
		}
		return
	}
	p.encrypted.Add(1)
	if p.reaction == sendsText || p.reaction == sendsNoise {
		return
	}
	r, err := mse.Receive(nc, first, func([20]byte) (id.ID, bool) { return info, true }, RequireEncryption.choose, zeros{})
	if err != nil {
		return
	}
	c := r.Wrap(nc)
	io.ReadFull(c, make([]byte, wire.HandshakeLen))
	c.Write(wire.AppendHandshake(nil, wire.Reserved{}, info, id.ID{9}))
	p.encryptedAt.CompareAndSwap(0, time.Now().UnixNano())
	select {
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { clear(b); b[0] = 7; return len(b), nil }

// A peer that accepts only encrypted connections is reached within seconds, however it
// reacts to an unencrypted handshake, and from then on at the first attempt.
func TestEncryptionIsRemembered(t *testing.T) {
	info, _ := makeContent(t, 1<<20, 256<<10)
	for _, does := range []reaction{hangsUp, isSilent, sendsAKey} {
		t.Run(string(does), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
				leech := startNode(t, n, 2, info, nil)
				defer leech.close()
				p := encryptingPeer{reaction: does}
				at := p.start(t, n, info.Hash)
				start := time.Now()
				leech.AddCandidates([]engine.Candidate{{Addr: at, Source: engine.FromHint}})
				time.Sleep(10 * time.Minute)
				if clear, encrypted := p.plain.Load(), p.encrypted.Load(); clear != 1 || encrypted < 3 {
					t.Errorf("%d unencrypted, %d encrypted attempts", clear, encrypted)
				}
				if took := time.Duration(p.encryptedAt.Load() - start.UnixNano()); took > 4*time.Second {
					t.Errorf("connected after %v", took)
				}
				if ev, ok := leech.first(KnownPeer); !ok || !ev.Encrypted {
					t.Errorf("the event does not say that the peer encrypts: %+v", ev)
				}
			})
		})
	}
}

func (p *encryptingPeer) start(t *testing.T, n *simnet.Net, info id.ID) netip.AddrPort {
	at := netip.MustParseAddrPort("10.0.0.7:6881")
	l, err := n.Host(at.Addr()).Listen(at.Port())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go p.serve(t.Context(), l, info)
	return at
}

// An address that used encryption in an earlier run is dialed with encryption first.
func TestEncryptedCandidate(t *testing.T) {
	info, _ := makeContent(t, 1<<20, 256<<10)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
		leech := startNode(t, n, 2, info, nil)
		defer leech.close()
		p := encryptingPeer{reaction: isSilent}
		at := p.start(t, n, info.Hash)
		leech.AddCandidates([]engine.Candidate{{Addr: at, Source: engine.FromLastRun, Encrypted: true}})
		time.Sleep(time.Second)
		if clear, encrypted := p.plain.Load(), p.encrypted.Load(); clear != 0 || encrypted != 1 {
			t.Errorf("%d unencrypted, %d encrypted attempts", clear, encrypted)
		}
	})
}

// A host that answers with text is not a peer, and is not dialed again in the same
// attempt.
func TestTextServiceIsNotDialledAgain(t *testing.T) {
	info, _ := makeContent(t, 1<<20, 256<<10)
	for does, encrypted := range map[reaction]int32{sendsText: 0, sendsNoise: 1} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
			leech := startNode(t, n, 2, info, nil)
			defer leech.close()
			p := encryptingPeer{reaction: does}
			at := p.start(t, n, info.Hash)
			leech.AddCandidates([]engine.Candidate{{Addr: at, Source: engine.FromDHT}})
			time.Sleep(8 * time.Second)
			if p.plain.Load() != 1 || p.encrypted.Load() != encrypted {
				t.Errorf("%s: %d unencrypted, %d encrypted attempts", does, p.plain.Load(), p.encrypted.Load())
			}
		})
	}
}

// A peer without encryption that was said to encrypt, and one on a slow path that answers
// late, are reached too.
func TestEncryptionExcludesNobody(t *testing.T) {
	info, _ := makeContent(t, 1<<20, 256<<10)
	for _, c := range []struct {
		name      string
		accepts   Encryption
		link      simnet.Link
		encrypted bool
	}{
		{"plain only, said to encrypt", NoEncryption, simnet.Link{Delay: 20 * time.Millisecond}, true},
		{"plain only, slow", NoEncryption, simnet.Link{Delay: 3 * time.Second}, false},
		{"either, slow", PreferPlain, simnet.Link{Delay: 3 * time.Second}, false},
		{"encrypted only, slow", RequireEncryption, simnet.Link{Delay: 2 * time.Second}, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, c.link)
				seed := startNode(t, n, 1, info, newMem(info), encryption(c.accepts))
				defer seed.close()
				leech := startNode(t, n, 2, info, newMem(info))
				defer leech.close()
				leech.AddCandidates([]engine.Candidate{{Addr: seed.addr, Source: engine.FromPEX, Encrypted: c.encrypted}})
				time.Sleep(50 * time.Second)
				if ev, ok := leech.first(KnownPeer); !ok || ev.Encrypted != (c.accepts == RequireEncryption) {
					t.Errorf("connected: %v, %+v", ok, ev)
				}
			})
		})
	}
}

// A peer that does not answer at all holds a dial no longer than one handshake may take.
func TestMutePeerHoldsADialForOneHandshake(t *testing.T) {
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
		start := time.Now()
		var ended atomic.Int64
		var dialled atomic.Int32
		go func() {
			for {
				nc, err := l.Accept(t.Context())
				if err != nil {
					return
				}
				dialled.Add(1)
				go func() {
					defer nc.Close()
					io.Copy(io.Discard, nc)
					ended.Store(int64(time.Since(start)))
				}()
			}
		}()
		leech.AddCandidates([]engine.Candidate{{Addr: at, Source: engine.FromDHT}})
		time.Sleep(20 * time.Second)
		if d := time.Duration(ended.Load()); dialled.Load() != 2 || d < HandshakeTimeout || d > HandshakeTimeout+time.Second {
			t.Errorf("dialled %d times, gave up after %v", dialled.Load(), d)
		}
	})
}

// The beginning of an incoming connection is recognised however it is fragmented, and a
// wrong one affects only its sender.
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
		{"unencrypted in fragments", PreferPlain, func(nc net.Conn) {
			for i := range shake {
				nc.Write(shake[i : i+1])
			}
		}, true},
		{"unencrypted where encryption is required", RequireEncryption, func(nc net.Conn) { nc.Write(shake) }, false},
		{"encrypted", PreferPlain, func(nc net.Conn) { mse.Initiate(nc, info, mse.RC4, shake, rand.Reader) }, true},
		{"encrypted where it is disabled", NoEncryption, func(nc net.Conn) { mse.Initiate(nc, info, mse.RC4, shake, rand.Reader) }, false},
		{"of another torrent", PreferPlain, func(nc net.Conn) { mse.Initiate(nc, id.ID{6}, mse.RC4, shake, rand.Reader) }, false},
		{"of one torrent outside and another inside", PreferPlain, func(nc net.Conn) {
			mse.Initiate(nc, info, mse.RC4, wire.AppendHandshake(nil, wire.Reserved{}, id.ID{6}, id.ID{}), rand.Reader)
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
				defer time.Sleep(time.Second) // lets the other end notice
				defer nc.Close()
				h, err := ReadHello(nc, c.policy, find)
				if (err == nil) != c.ok || c.ok && h.InfoHash != info {
					t.Errorf("%+v, %v", h, err)
				}
				var me *mse.Error
				var we *wire.Error
				if !c.ok && c.name != "silence" && !errors.As(err, &me) && !errors.As(err, &we) {
					t.Errorf("an error without a type: %v", err)
				}
			})
		})
	}
}

// first returns the first event of this kind.
func (nd *node) first(k EventKind) (Event, bool) {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	for _, ev := range nd.events {
		if ev.Kind == k {
			return ev, true
		}
	}
	return Event{}, false
}
