package engine

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/pex"
	"seedbed/swarm/wire"
)

// punchRig is an engine that offers hole punching. Its peers have public addresses.
type punchRig struct{ *rig }

func newPunchRig(t *testing.T, cfg Config) punchRig {
	cfg.Holepunch = true
	r := punchRig{newRig(t, cfg, 4, 64<<10)}
	r.step(&EvExternal{Addr: public(250).Addr()})
	return r
}

// public returns a public address.
func public(n int) netip.AddrPort {
	return netip.AddrPortFrom(netip.AddrFrom4([4]byte{45, byte(n >> 16), byte(n >> 8), byte(n)}), 6881)
}

// joins connects a peer that supports ut_holepunch under id 7 and ut_pex under id 6, and
// listens on port 6881. At a port other than that it has dialed us over TCP.
func (r punchRig) joins(ev EvConnected) Conn {
	ev.Reserved.SetExtended()
	c := r.join(ev)
	r.msg(c, extended(wire.ExtHandshakeID, []byte("d1:md12:ut_holepunchi7e6:ut_pexi6ee1:pi6881ee")))
	return c
}

// names makes a peer name addresses by PEX.
func (r punchRig) names(c Conn, f pex.Flags, all ...netip.AddrPort) {
	var u pex.Update
	for _, a := range all {
		u.Added = append(u.Added, pex.Peer{Addr: a, Flags: f})
	}
	r.msg(c, extended(wire.ExtPex, pex.Append(nil, u)))
}

// says makes a peer send a ut_holepunch message.
func (r punchRig) says(c Conn, m wire.HolepunchMsg) {
	r.msg(c, extended(wire.ExtHolepunch, wire.AppendHolepunch(nil, m)))
}

// heard returns the ut_holepunch messages sent to a peer.
func heard(t testing.TB, cmds []Command, c Conn) (out []wire.HolepunchMsg) {
	t.Helper()
	for _, m := range sent(t, cmds, c) {
		if m.Type == wire.Extended && m.Ext == 7 {
			h, err := wire.ParseHolepunch(m.Payload)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, h)
		}
	}
	return out
}

// dialed returns the addresses of the commands of one kind.
func dialed(cmds []Command, k CommandKind) (out []netip.AddrPort) {
	for _, c := range of(cmds, k) {
		out = append(out, c.Addr)
	}
	return out
}

func expect[T any](t testing.TB, what string, got, want T) {
	t.Helper()
	if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
		t.Errorf("%s: %s, want %s", what, g, w)
	}
}

const natted = pex.Holepunch | pex.UTP

var (
	rendezvous = func(a netip.AddrPort) wire.HolepunchMsg { return wire.HolepunchMsg{Addr: a} }
	connectTo  = func(a netip.AddrPort) wire.HolepunchMsg {
		return wire.HolepunchMsg{Type: wire.HolepunchConnect, Addr: a}
	}
	refusal = func(a netip.AddrPort, e wire.HolepunchErr) wire.HolepunchMsg {
		return wire.HolepunchMsg{Type: wire.HolepunchError, Addr: a, Err: e}
	}
)

// ut_holepunch is offered if there is uTP and the torrent may exchange peers.
func TestBEP55IsOffered(t *testing.T) {
	for _, c := range []struct{ utp, private, offered bool }{{true, false, true}, {false, false, false}, {true, true, false}} {
		r := newRig(t, Config{Holepunch: c.utp, Private: c.private}, 4, 64<<10)
		p := r.connect(true)
		for _, m := range sent(t, r.drain(), p) {
			if m.Type != wire.Extended {
				continue
			}
			if h, err := wire.ParseExtHandshake(m.Payload); err != nil || (h.HolePunch == wire.ExtHolepunch) != c.offered {
				t.Errorf("%+v: %+v, %v", c, h, err)
			}
		}
	}
}

// BEP 55: "The initiating peer sends a rendezvous message to the relaying peer, containing the
// endpoint of the target peer". A peer that others cannot dial, as PEX says, is asked for when
// a dial has lasted a second; one that PEX says can be dialed, after a dial has failed.
func TestBEP55InitiatorAsksTheIntroducer(t *testing.T) {
	r := newPunchRig(t, Config{})
	relay, other := r.joins(EvConnected{Addr: public(1)}), r.joins(EvConnected{Addr: public(2)})
	r.drain()
	behind, dialable, tcpOnly := public(3), public(4), public(5)
	r.names(relay, natted, behind)
	r.names(relay, natted|pex.Reachable, dialable)
	r.names(relay, 0, tcpOnly)
	cmds := r.wait(dialFirst - 1)
	expect(t, "dials", len(dialed(cmds, CmdDial)), 3)
	expect(t, "requests while a dial may succeed", len(heard(t, cmds, relay)), 0)
	cmds = r.wait(1)
	expect(t, "requests", heard(t, cmds, relay), []wire.HolepunchMsg{rendezvous(behind)})
	expect(t, "to one that did not name it", len(heard(t, cmds, other)), 0)
	for _, a := range []netip.AddrPort{behind, dialable, tcpOnly} {
		r.step(&EvDialFailed{Addr: a, Fault: FaultTimeout})
	}
	cmds = r.drain()
	expect(t, "after the failure", heard(t, cmds, relay), []wire.HolepunchMsg{rendezvous(dialable)})
	expect(t, "hole punches without an answer", len(of(cmds, CmdPunch)), 0)
}

// A dial that began before the peer was named by PEX does not delay the hole punch.
func TestPeerOfTheDHTIsPunchedWhenARelayNamesIt(t *testing.T) {
	r := newPunchRig(t, Config{})
	relay, behind := r.joins(EvConnected{Addr: public(1)}), public(3)
	r.step(&EvCandidates{[]Candidate{{Addr: behind, Source: FromDHT}}})
	expect(t, "requests", len(heard(t, r.drain(), relay)), 0)
	r.names(relay, natted, behind)
	expect(t, "requests", heard(t, r.wait(dialFirst), relay), []wire.HolepunchMsg{rendezvous(behind)})
	r.step(&EvConnected{Conn: 99, Addr: behind})
	r.step(&EvClosed{Conn: 99, Addr: behind})
	r.names(relay, natted, public(4))
	r.drain()
	r.step(&EvConnected{Conn: 100, Addr: public(4)})
	expect(t, "requests for one that answers", len(heard(t, r.wait(2*dialFirst), relay)), 0)
}

// A relay that drops the peer, or leaves, is not asked.
func TestIntroducerThatLeftIsNotAsked(t *testing.T) {
	for name, leave := range map[string]func(punchRig, Conn){
		"drops": func(r punchRig, c Conn) {
			r.msg(c, extended(wire.ExtPex, pex.Append(nil, pex.Update{Dropped: []netip.AddrPort{public(3)}})))
		},
		"leaves": func(r punchRig, c Conn) { r.step(&EvClosed{Conn: c, Addr: public(1), Fault: FaultReset}) },
	} {
		r := newPunchRig(t, Config{})
		relay := r.joins(EvConnected{Addr: public(1)})
		r.names(relay, natted|pex.Reachable, public(3))
		r.drain()
		leave(r, relay)
		r.step(&EvDialFailed{Addr: public(3), Fault: FaultTimeout})
		expect(t, name, len(heard(t, r.drain(), relay)), 0)
	}
}

// Requests for one address rest, for long after the second. Those to one relay are limited.
func TestRequestsForHolePunchesAreLimited(t *testing.T) {
	r := newPunchRig(t, Config{HalfOpen: 100})
	relay := r.joins(EvConnected{Addr: public(1)})
	r.names(relay, natted, public(3))
	n := 0
	for range 60 {
		cmds := r.wait(time.Minute)
		n += len(heard(t, cmds, relay))
		for _, a := range dialed(cmds, CmdDial) {
			r.step(&EvDialFailed{Addr: a, Fault: FaultTimeout})
		}
		r.msg(relay, wire.Msg{Type: wire.KeepAlive})
	}
	if n < 3 || n > 4 {
		t.Errorf("%d requests for one address in an hour", n)
	}
	var many []netip.AddrPort
	for i := range 50 {
		many = append(many, public(1000+i*256))
	}
	r.names(relay, natted, many...)
	expect(t, "requests to one relay at once", len(heard(t, r.wait(dialFirst), relay)), requestBurst)
}

// BEP 55: "Upon receiving the connect message, each peer initiates a uTP connection to the
// other peer". The initiator accepts any port of the host that it has asked for. It neither
// marks the peer as failed if that fails, nor tells others that it can be dialed if not.
func TestBEP55ConnectStartsAConnection(t *testing.T) {
	for _, requested := range []bool{true, false} {
		r := newPunchRig(t, Config{})
		relay := r.joins(EvConnected{Addr: public(1)})
		behind := public(3)
		if requested {
			r.names(relay, natted, behind)
			expect(t, "requests", len(heard(t, r.wait(dialFirst), relay)), 1)
		}
		seen := netip.AddrPortFrom(behind.Addr(), 7000)
		r.says(relay, connectTo(seen))
		expect(t, "hole punches", dialed(r.drain(), CmdPunch), []netip.AddrPort{seen})
		r.says(relay, connectTo(seen))
		expect(t, "while one is in progress", len(of(r.drain(), CmdPunch)), 0)
		r.step(&EvPunchFailed{Addr: seen})
		if c := r.e.book.find(behind); requested && (c.fails > 0 || c.state != candDialing) {
			t.Errorf("the failed hole punch is recorded: %+v", c)
		}
		r.says(relay, connectTo(seen))
		expect(t, "after it failed", len(of(r.drain(), CmdPunch)), 1)
		c := r.joins(EvConnected{Addr: seen, UTP: true, Punched: true})
		if p := r.e.conns[c]; !p.punched || p.closing || r.e.book.find(seen) == nil || !r.e.book.find(seen).needsPunch() {
			t.Errorf("the connection is not known as punched: %+v", p)
		}
		r.says(relay, connectTo(seen))
		expect(t, "BEP 55: connected already, so it is ignored", len(of(r.drain(), CmdPunch)), 0)
		expect(t, "counts", r.e.Punches(), PunchCounts{Begun: 2, Connected: 1})
	}
}

// A relay that was asked for one hole punch cannot start any number of them: the first answers
// the request, and the others count as not requested.
func TestRelayAnswersARequestOnce(t *testing.T) {
	r := newPunchRig(t, Config{})
	relay, behind := r.joins(EvConnected{Addr: public(1)}), public(3)
	r.names(relay, natted, behind)
	expect(t, "requests", len(heard(t, r.wait(dialFirst), relay)), 1)
	begun := 0
	for port := range uint16(5 * unaskedBurst) {
		a := netip.AddrPortFrom(behind.Addr(), 7000+port)
		r.says(relay, connectTo(a))
		begun += len(of(r.drain(), CmdPunch))
		r.step(&EvPunchFailed{Addr: a})
	}
	expect(t, "hole punches", begun, 1+unaskedBurst)
}

// If the connection of the other side is the one that arrives, it counts as punched too. Of two
// that cross, both sides keep that of the smaller peer id.
func TestHolePunchesThatCross(t *testing.T) {
	for _, weAreSmaller := range []bool{true, false} {
		r := newPunchRig(t, Config{})
		relay, behind := r.joins(EvConnected{Addr: public(1)}), public(3)
		r.says(relay, connectTo(behind))
		r.drain()
		other := id.ID{0}
		if weAreSmaller {
			other = id.ID{9}
		}
		other[19] = 1
		in := r.joins(EvConnected{Addr: behind, UTP: true, Incoming: true, PeerID: other})
		if !r.e.conns[in].punched {
			t.Error("the incoming connection does not count as punched")
		}
		out := r.joins(EvConnected{Addr: behind, UTP: true, Punched: true, PeerID: other})
		cmds := r.drain()
		if closed(cmds, in) != FaultNone != weAreSmaller || closed(cmds, out) != FaultNone == weAreSmaller {
			t.Errorf("we are smaller: %v; closed: in %v, out %v", weAreSmaller, closed(cmds, in), closed(cmds, out))
		}
	}
}

// A dial over uTP that had begun before may be the one that gets through the hole.
func TestDialThatAHolePunchHelps(t *testing.T) {
	r := newPunchRig(t, Config{})
	relay, behind := r.joins(EvConnected{Addr: public(1)}), public(3)
	r.names(relay, natted, behind)
	r.says(relay, connectTo(behind))
	r.drain()
	c := r.joins(EvConnected{Addr: behind, UTP: true})
	if p := r.e.conns[c]; !p.punched || !r.e.book.find(behind).punch.worked || r.e.book.dialing != 0 {
		t.Errorf("the connection does not count as punched; %d dials are pending", r.e.book.dialing)
	}
	c = r.joins(EvConnected{Addr: public(4), UTP: true})
	if r.e.conns[c].punched {
		t.Error("a dial without a hole punch counts as punched")
	}
}

// A relay cannot make us send to addresses that PEX may not name, and to privileged ports.
func TestConnectToForbiddenAddresses(t *testing.T) {
	private := netip.MustParseAddrPort("192.168.1.9:6881")
	for _, a := range []string{
		"192.168.1.9:6881", "127.0.0.1:6881", "0.0.0.0:6881", "224.0.0.1:6881", "255.255.255.255:6881", "169.254.1.1:6881",
		"[::1]:6881", "[fe80::1]:6881", "[ff02::1]:6881", "[fc00::1]:6881", "45.0.0.9:0", "45.0.0.9:53", "45.0.0.9:1023", "45.0.0.250:6881",
	} {
		r := newPunchRig(t, Config{})
		relay := r.joins(EvConnected{Addr: public(1)})
		r.says(relay, connectTo(netip.MustParseAddrPort(a)))
		expect(t, a, dialed(r.drain(), CmdPunch), []netip.AddrPort{})
	}
	r := newPunchRig(t, Config{})
	relay := r.joins(EvConnected{Addr: netip.MustParseAddrPort("192.168.1.2:6881")})
	r.says(relay, connectTo(private))
	expect(t, "a relay in a private network", dialed(r.drain(), CmdPunch), []netip.AddrPort{private})
	r.e.book.ban(r.now, banKey(public(9)), r.now.Add(time.Hour))
	r.says(relay, connectTo(public(9)))
	expect(t, "a banned address", len(of(r.drain(), CmdPunch)), 0)
}

// BEP 55: "the relaying peer sends a connect message to both the initiating peer and the target
// peer, each containing the endpoint of the other". A peer that is connected over uTP is named
// by its remote address, one over TCP by the port on which it listens.
func TestBEP55RelayIntroducesBoth(t *testing.T) {
	tcpPort, mapped := func(a netip.AddrPort) netip.AddrPort { return netip.AddrPortFrom(a.Addr(), 50000) }, netip.AddrPortFrom(public(2).Addr(), 40123)
	for _, c := range []struct {
		name            string
		target          EvConnected
		asked, expected netip.AddrPort
	}{
		{"it has dialed us over TCP", EvConnected{Addr: tcpPort(public(2)), Incoming: true}, public(2), public(2)},
		{"we have dialed it", EvConnected{Addr: public(2)}, public(2), public(2)},
		{"over uTP, asked by the port that it announces", EvConnected{Addr: mapped, Incoming: true, UTP: true}, public(2), mapped},
		{"over uTP, asked by the port that we see", EvConnected{Addr: mapped, Incoming: true, UTP: true}, mapped, mapped},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newPunchRig(t, Config{})
			asker := r.joins(EvConnected{Addr: tcpPort(public(1)), Incoming: true})
			target := r.joins(c.target)
			r.drain()
			r.says(asker, rendezvous(c.asked))
			cmds := r.drain()
			expect(t, "to the initiator", heard(t, cmds, asker), []wire.HolepunchMsg{connectTo(c.expected)})
			expect(t, "to the target", heard(t, cmds, target), []wire.HolepunchMsg{connectTo(public(1))})
			expect(t, "counts", r.e.Punches(), PunchCounts{Relayed: 1})
		})
	}
}

// BEP 55: "the relaying peer SHOULD reply to the initiating peer with an appropriate error
// message. The addr_type, addr and port fields in the error message MUST be the same as in the
// rendezvous message".
func TestBEP55RelayRefuses(t *testing.T) {
	r := newPunchRig(t, Config{})
	asker := r.joins(EvConnected{Addr: public(1)})
	plain := r.connect(true)
	r.joins(EvConnected{Addr: netip.MustParseAddrPort("192.168.1.2:6881")})
	noPort := r.joins(EvConnected{Addr: netip.MustParseAddrPort("45.9.9.9:80")})
	r.drain()
	for _, c := range []struct {
		name string
		addr netip.AddrPort
		err  wire.HolepunchErr
	}{
		{"port 0", netip.AddrPortFrom(public(5).Addr(), 0), wire.NoSuchPeer},
		{"no host", netip.MustParseAddrPort("0.0.0.0:6881"), wire.NoSuchPeer},
		{"not connected", public(5), wire.NotConnected},
		{"the initiator itself", public(1), wire.NotConnected},
		{"IPv6", netip.MustParseAddrPort("[2a00::1]:6881"), wire.NotConnected},
		{"no support", r.e.conns[plain].listen, wire.NoSupport},
		{"we", public(250), wire.NoSelf},
		{"private, for one of the internet", netip.MustParseAddrPort("192.168.1.2:6881"), wire.NotConnected},
		{"a privileged port", r.e.conns[noPort].listen, wire.NotConnected},
	} {
		r.says(asker, rendezvous(c.addr))
		expect(t, c.name, heard(t, r.drain(), asker), []wire.HolepunchMsg{refusal(c.addr, c.err)})
	}
	// BEP 55: without support by the initiator, its messages are ignored silently.
	r.says(plain, rendezvous(public(1)))
	expect(t, "messages to one without support", len(of(r.drain(), CmdSend)), 0)
}

// An error ends the request. After NoSupport nobody is asked again; after the others, another
// relay is, once each. An error that answers nothing is ignored.
func TestBEP55ErrorsAreHandled(t *testing.T) {
	for _, e := range []wire.HolepunchErr{wire.NoSuchPeer, wire.NotConnected, wire.NoSupport, wire.NoSelf, 77} {
		r := newPunchRig(t, Config{})
		x, y := r.joins(EvConnected{Addr: public(1)}), r.joins(EvConnected{Addr: public(2)})
		r.names(x, natted|pex.Reachable, public(3))
		r.names(y, natted|pex.Reachable, public(3))
		r.says(x, refusal(public(3), e))
		r.drain()
		r.step(&EvDialFailed{Addr: public(3), Fault: FaultTimeout})
		cmds := r.drain()
		first, second := x, y
		if len(heard(t, cmds, x)) == 0 {
			first, second = y, x
		}
		expect(t, "requests", len(heard(t, cmds, first)), 1)
		r.says(first, refusal(public(3), e))
		want := 1
		if e == wire.NoSupport {
			want = 0
		}
		expect(t, fmt.Sprint("requests to the other after error ", e), len(heard(t, r.drain(), second)), want)
		r.says(second, refusal(public(3), e))
		cmds = r.drain()
		expect(t, "requests after both have refused", len(heard(t, cmds, first))+len(heard(t, cmds, second)), 0)
	}
}

// A malformed message costs the sender its connection; an unknown type is ignored.
func TestHolepunchMessagesThatAreInvalid(t *testing.T) {
	r := newPunchRig(t, Config{})
	c := r.joins(EvConnected{Addr: public(1)})
	r.says(c, wire.HolepunchMsg{Type: 9, Addr: public(2)})
	if f := closed(r.drain(), c); f != FaultNone {
		t.Error("an unknown type:", f)
	}
	r.msg(c, extended(wire.ExtHolepunch, []byte{0, 0, 1}))
	if f := closed(r.drain(), c); f != FaultProtocol {
		t.Error("a short message:", f)
	}
}
