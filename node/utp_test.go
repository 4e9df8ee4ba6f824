package node

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
	"seedbed/internal/utp"
	"seedbed/swarm"
)

// With uTP disabled, a peer that starts with uTP is refused at once, with or without the DHT.
func TestSYNIsRefused(t *testing.T) {
	for name, opts := range map[string][]func(*Config){"alone": {noDHT}, "beside the DHT": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Link{Delay: 20 * ms})
				a := start(t, n, 1, opts...)
				conn, err := n.Host(addr(2)).PacketConn(DefaultPort)
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				syn := utp.Header{Type: utp.Syn, ConnID: 0xfffe, Seq: 1}
				if err := conn.WriteTo(syn.Append(nil), a.Addrs()[0]); err != nil {
					t.Fatal(err)
				}
				in := []netx.Datagram{{Buf: make([]byte, 2048)}}
				if _, err := conn.ReadBatch(in); err != nil {
					t.Fatal(err)
				}
				h, _, err := utp.Parse(in[0].Buf[:in[0].N])
				if err != nil || h.Type != utp.Reset || h.ConnID != 0xfffe || h.Ack != 1 {
					t.Errorf("%+v, %v", h, err)
				}
			})
		})
	}
}

func withUTP(c *Config) { c.UTP = true }

// tcpScript is a Dialer whose dials take a while and then fail or succeed.
type tcpScript struct {
	takes time.Duration
	err   error
}

func (d *tcpScript) Dial(ctx context.Context, _ netip.AddrPort) (net.Conn, error) {
	select {
	case <-time.After(d.takes):
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if d.err != nil {
		return nil, d.err
	}
	c, other := net.Pipe()
	other.Close()
	return c, nil
}

// TCP has a lead over uTP at public addresses, and what worked last is tried first. In a
// local network uTP is tried after TCP has failed. The error is that of TCP.
func TestDialOverTCPAndUTP(t *testing.T) {
	refused := errors.New("refused")
	public := netip.MustParseAddr("45.0.0.2")
	const rtt = 40 * ms
	for _, c := range []struct {
		name       string
		to         netip.Addr
		tcp        tcpScript
		noUTP      bool // at the peer
		remembered bool
		overUTP    bool
		err        error
		took       time.Duration
	}{
		{name: "TCP answers first", to: public, tcp: tcpScript{takes: rtt}, took: rtt},
		{name: "TCP is slower than its lead", to: public, tcp: tcpScript{takes: dialLead + rtt/2}, took: dialLead + rtt/2},
		{name: "TCP is silent", to: public, tcp: tcpScript{takes: time.Hour}, overUTP: true, took: dialLead + rtt},
		{name: "TCP is refused", to: public, tcp: tcpScript{takes: rtt, err: refused}, overUTP: true, took: 2 * rtt},
		{name: "both are refused", to: public, tcp: tcpScript{takes: rtt, err: refused}, noUTP: true, err: refused, took: 2 * rtt},
		{name: "uTP is refused, TCP is slow", to: public, tcp: tcpScript{takes: time.Second}, noUTP: true, took: time.Second},
		{name: "uTP worked last", to: public, tcp: tcpScript{takes: 0}, remembered: true, overUTP: true, took: rtt},
		{name: "uTP worked last and no longer", to: public, tcp: tcpScript{takes: rtt}, remembered: true, noUTP: true, took: 2 * rtt},
		{name: "local, TCP is slow", to: addr(2), tcp: tcpScript{takes: time.Second}, took: time.Second},
		{name: "local, TCP is silent", to: addr(2), tcp: tcpScript{takes: time.Hour}, overUTP: true, took: localDialLead + rtt},
		{name: "local, TCP is refused", to: addr(2), tcp: tcpScript{takes: rtt, err: refused}, overUTP: true, took: 2 * rtt},
		{name: "self", to: public, tcp: tcpScript{err: netx.ErrSelf}, err: netx.ErrSelf},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Link{Delay: rtt / 2})
				from := netip.AddrFrom4([4]byte{45, 0, 0, 1})
				a := startAt(t, n, netip.AddrPortFrom(from, DefaultPort), noDHT, withUTP)
				to := netip.AddrPortFrom(c.to, DefaultPort)
				startAt(t, n, to, noDHT, func(cfg *Config) { cfg.UTP = !c.noUTP })
				a.transports.tcp = &c.tcp
				if c.remembered {
					a.transports.remember(to, true)
				}
				begun := time.Now()
				got, err := a.transports.dial(t.Context(), to)
				if !errors.Is(err, c.err) || time.Since(begun) != c.took {
					t.Errorf("%v after %v, want %v after %v", err, time.Since(begun), c.err, c.took)
				}
				if err == nil {
					_, isUTP := got.RemoteAddr().(*net.UDPAddr)
					if isUTP != c.overUTP || a.transports.overUTP.Contains(to) != c.overUTP {
						t.Errorf("over uTP: %v, remembered: %v", isUTP, a.transports.overUTP.Contains(to))
					}
					got.Close()
				}
			})
		})
	}
}

// A peer accepts connections over TCP and closes them: the next dial is over uTP. If that has
// no handshake either, TCP is first again.
func TestPeerThatHangsUpOverTCP(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(5, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{}, map[string]int{"one": 1 << 20})
		start(t, n, 1, noDHT, withUTP).add(spec)
		b := start(t, n, 2, noDHT, withUTP)
		b.transports.tcp = &tcpScript{takes: ms}
		to := t.TempDir()
		got := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: to})
		wait(t, got.Done(), 5*time.Minute, "the download")
		filetest.Same(t, dir, to+"/things")
		if !b.transports.overUTP.Contains(at(1)) {
			t.Error("uTP is not remembered")
		}
		dialer{b.Node}.HungUp(at(1))
		if b.transports.overUTP.Contains(at(1)) {
			t.Error("uTP is remembered although it led to no handshake")
		}
	})
}

// A peer whose TCP port is filtered is reached over uTP, with and without encryption, through
// losses, and everything arrives.
func TestDownloadOverUTP(t *testing.T) {
	for name, encryption := range map[string]swarm.Encryption{"plain": swarm.PreferPlain, "encrypted": swarm.RequireEncryption} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(5, simnet.Link{Delay: 20 * ms, Loss: 0.01, Rate: 5e6})
				spec, dir := folder(t, ShareOptions{}, map[string]int{"one": 1 << 20, "two": 300000})
				opts := []func(*Config){noDHT, withUTP, func(c *Config) { c.Encryption = encryption }}
				start(t, n, 1, opts...).add(spec)
				n.Host(addr(1)).Filter(DefaultPort, true)
				b := start(t, n, 2, opts...)
				to := t.TempDir()
				got := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: to})
				wait(t, got.Done(), time.Minute, "the download")
				filetest.Same(t, dir, to+"/things")
				if !b.transports.overUTP.Contains(at(1)) {
					t.Error("the peer was not reached over uTP")
				}
			})
		})
	}
}
