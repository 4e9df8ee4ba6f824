package node

import (
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/netx"
	"seedbed/internal/simnet"
	"seedbed/internal/utp"
)

// udpPeer sends datagrams to a node and collects the replies.
type udpPeer struct {
	t    *testing.T
	conn netx.PacketConn
	to   netip.AddrPort
}

func newUDPPeer(t *testing.T, n *simnet.Net, from netip.AddrPort, to *rig) *udpPeer {
	t.Helper()
	conn, err := n.Host(from.Addr()).PacketConn(from.Port())
	if err != nil {
		t.Fatal(err)
	}
	return &udpPeer{t, conn, to.Addrs()[0]}
}

func (p *udpPeer) send(h utp.Header) {
	if err := p.conn.WriteTo(h.Append(nil), p.to); err != nil {
		p.t.Error(err)
	}
}

// answers waits for a second, closes the socket and returns the replies.
func (p *udpPeer) answers() (got []utp.Header) {
	p.t.Helper()
	stop := time.AfterFunc(time.Second, func() { p.conn.Close() })
	defer stop.Stop()
	ms := make([]netx.Datagram, 8)
	for i := range ms {
		ms[i].Buf = make([]byte, 2048)
	}
	for {
		n, err := p.conn.ReadBatch(ms)
		if err != nil {
			return got
		}
		for _, m := range ms[:n] {
			h, rest, err := utp.Parse(m.Buf[:m.N])
			if err != nil || len(rest) > 0 || m.N != utp.HeaderLen {
				p.t.Errorf("%x: %v", m.Buf[:m.N], err)
			}
			got = append(got, h)
		}
	}
}

// A peer that starts with uTP is refused at once, with a valid uTP packet (BEP 29), with
// or without the DHT.
func TestSYNIsRefused(t *testing.T) {
	for name, opts := range map[string][]func(*Config){"alone": {noDHT}, "beside the DHT": {}} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Link{Delay: 20 * ms})
				a := start(t, n, 1, opts...)
				p := newUDPPeer(t, n, at(2), a)
				sent := uint32(time.Now().UnixMicro()) - 7
				p.send(utp.Header{Type: utp.Syn, ConnID: 0xfffe, Timestamp: sent, Seq: 1})
				got := p.answers()
				if len(got) != 1 {
					t.Fatalf("%d answers", len(got))
				}
				h := got[0]
				if h.Type != utp.Reset || h.ConnID != 0xfffe || h.Ack != 1 || h.TimestampDiff != 20_007 || h.Timestamp != sent+20_007 {
					t.Errorf("%+v", h)
				}
			})
		})
	}
}

// Only a SYN is answered: replying to a reset with a reset would never end.
func TestOtherUTPPacketsAreNotAnswered(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a := start(t, n, 1, noDHT)
		p := newUDPPeer(t, n, at(2), a)
		for _, typ := range []utp.Type{utp.Data, utp.Fin, utp.State, utp.Reset} {
			p.send(utp.Header{Type: typ, ConnID: 1, Seq: 1})
		}
		if got := p.answers(); len(got) != 0 {
			t.Errorf("%+v", got)
		}
	})
}

// Forged SYNs make us send little to the forged source: a few packets a second to one
// address from all of our ports, and none to a port below 1024. Other sources are answered
// meanwhile.
func TestSYNAnswersAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		a := start(t, n, 1, noDHT)
		victim, other := netip.MustParseAddr("1.2.3.4"), netip.MustParseAddr("1.2.3.5")
		var ports []*udpPeer
		for _, port := range []uint16{53, 1023, 1024, 6881, 50000} {
			ports = append(ports, newUDPPeer(t, n, netip.AddrPortFrom(victim, port), a))
		}
		syn := utp.Header{Type: utp.Syn, ConnID: 1, Seq: 1}
		for range 100 {
			for _, p := range ports {
				p.send(syn)
			}
			time.Sleep(10 * ms)
		}
		honest := newUDPPeer(t, n, netip.AddrPortFrom(other, 6881), a)
		honest.send(syn)
		if got := honest.answers(); len(got) != 1 {
			t.Errorf("%d answers to another address", len(got))
		}
		total := 0
		for i, p := range ports {
			got := len(p.answers())
			if total += got; i < 2 && got != 0 {
				t.Errorf("%d answers to port %d", got, p.conn.LocalAddr().Port())
			}
		}
		if most := synBurst + synRate*2; total == 0 || total > most {
			t.Errorf("%d answers to one address in a second, at most %d", total, most)
		}
	})
}
