package node

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht/krpc"
	"seedbed/internal/addrs"
	"seedbed/internal/await"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
	"seedbed/pex"
	"seedbed/swarm/wire"
)

// dialTap is a network that counts the connections that a node starts.
type dialTap struct {
	netx.Network
	mu    sync.Mutex
	began []dialed
	open  map[netip.Addr]int // pending dials
	most  map[netip.Addr]int // maximum of open
	isOff bool               // there is no route
}

type dialed struct {
	at time.Time
	to netip.AddrPort
}

func newDialTap() *dialTap { return &dialTap{open: map[netip.Addr]int{}, most: map[netip.Addr]int{}} }

// through is an option that makes the node dial through the tap.
func through(t *dialTap) func(*Config) { return func(c *Config) { c.Network = t } }

func (d *dialTap) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	ip := to.Addr()
	d.mu.Lock()
	d.began = append(d.began, dialed{time.Now(), to})
	d.open[ip]++
	d.most[ip] = max(d.most[ip], d.open[ip])
	isOff := d.isOff
	d.mu.Unlock()
	defer func() {
		d.mu.Lock()
		d.open[ip]--
		d.mu.Unlock()
	}()
	if isOff {
		return nil, &net.OpError{Op: "dial", Err: os.NewSyscallError("connect", syscall.ENETUNREACH)}
	}
	return d.Network.Dial(ctx, to)
}

// setOff takes away the route, or gives it back.
func (d *dialTap) setOff(isOff bool) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.isOff = isOff
}

// to returns the number of dials to an address.
func (d *dialTap) to(ip netip.Addr) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.began {
		if x.to.Addr() == ip {
			n++
		}
	}
	return n
}

// busiest returns the maximum number of connections started within a second, and the
// lowest port.
func (d *dialTap) busiest() (most int, lowest uint16) {
	d.mu.Lock()
	defer d.mu.Unlock()
	first := 0
	lowest = 65535
	for i, x := range d.began {
		for x.at.Sub(d.began[first].at) >= time.Second {
			first++
		}
		most = max(most, i+1-first)
		lowest = min(lowest, x.to.Port())
	}
	return most, lowest
}

// lyingNode is a DHT node that answers get_peers with the addresses that lies returns.
func lyingNode(t testing.TB, n *simnet.Net, where netip.AddrPort, lies func() []netip.AddrPort) {
	t.Helper()
	stack, err := n.Host(where.Addr()).Open(where.Port())
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	t.Cleanup(func() { stack.Close(); <-done })
	own := id.ID{1, 2, 3, 4}
	go func() {
		defer close(done)
		conn := stack.UDP()[0]
		ms := []netx.Datagram{{Buf: make([]byte, 1500)}}
		for {
			if _, err := conn.ReadBatch(ms); err != nil {
				return
			}
			var m krpc.Message
			if krpc.Parse(ms[0].Buf[:ms[0].N], &m) != nil || m.Y != 'q' {
				continue
			}
			b := bencode.AppendBytes([]byte("d1:rd2:id"), own[:])
			if string(m.Query.Name) == "get_peers" {
				b = append(b, "5:token1:x6:valuesl"...)
				for _, a := range lies() {
					b = bencode.AppendBytes(b, addrs.Append(nil, a))
				}
				b = append(b, 'e')
			}
			b = bencode.AppendBytes(append(b, "e1:t"...), m.T)
			_ = conn.WriteTo(append(b, "1:y1:re"...), ms[0].Addr)
		}
	}()
}

// lyingPeer is a peer that sends the addresses that lies returns by PEX, as often as PEX
// allows.
func lyingPeer(t testing.TB, n *simnet.Net, where netip.AddrPort, infohash id.ID, lies func() []netip.AddrPort) {
	t.Helper()
	l, err := n.Host(where.Addr()).Listen(where.Port())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var wg sync.WaitGroup
	t.Cleanup(func() { cancel(); l.Close(); wg.Wait() })
	serve := func(c net.Conn) {
		defer context.AfterFunc(ctx, func() { c.Close() })()
		defer c.Close()
		if _, err := io.ReadFull(c, make([]byte, wire.HandshakeLen)); err != nil {
			return
		}
		var r wire.Reserved
		r.SetExtended()
		var me id.ID
		copy(me[:], where.String())
		b := wire.AppendHandshake(nil, r, infohash, me)
		b = wire.Append(b, wire.Msg{Type: wire.Extended, Ext: wire.ExtHandshakeID, Payload: []byte("d1:md6:ut_pexi1eee")})
		if _, err := c.Write(b); err != nil {
			return
		}
		wg.Go(func() { io.Copy(io.Discard, c) })
		for {
			var u pex.Update
			for _, a := range lies() {
				u.Added = append(u.Added, pex.Peer{Addr: a})
			}
			if _, err := c.Write(wire.Append(nil, wire.Msg{Type: wire.Extended, Ext: wire.ExtPex, Payload: pex.Append(nil, u)})); err != nil {
				return
			}
			if await.Sleep(ctx, time.Minute) != nil {
				return
			}
		}
	}
	wg.Go(func() {
		for {
			c, err := l.Accept(ctx)
			if err != nil {
				return
			}
			wg.Go(func() { serve(c) })
		}
	})
}

// public returns a public address.
func public(net, host int) netip.Addr {
	return netip.AddrFrom4([4]byte{45, byte(net), byte(host >> 8), byte(host)})
}

func publicAt(net, host int) netip.AddrPort {
	return netip.AddrPortFrom(public(net, host), DefaultPort)
}

// bootAt is an option that sets the addresses of the bootstrap nodes.
func bootAt(as ...netip.AddrPort) func(*Config) {
	return func(c *Config) {
		for _, a := range as {
			c.Bootstrap = append(c.Bootstrap, a.String())
		}
	}
}

// In a test network, every port of an address is a separate peer, and ports below 1024
// are allowed. A node detects it by its listening or bootstrap addresses.
func TestAPrivateNetworkHasNoLimits(t *testing.T) {
	for name, c := range map[string]struct {
		where netip.AddrPort
		opt   func(*Config)
		want  bool
	}{
		"a private address":           {at(1), noDHT, true},
		"a public address":            {publicAt(1, 1), noDHT, false},
		"a private bootstrap address": {publicAt(1, 2), boot(7), true},
		"a public bootstrap address":  {publicAt(1, 3), bootAt(publicAt(1, 1)), false},
	} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(3, simnet.Link{Delay: ms})
			if got := startAt(t, n, c.where, c.opt).isPrivateNetwork(); got != c.want {
				t.Errorf("%s: %v", name, got)
			}
		})
	}
}

// A lying DHT node, or lying peers by PEX, return ports of one victim and hosts of a
// whole network, without end. Few connections reach the victim, and the node starts few
// in total. The node still finds the honest peer that shares the victim's
// address.
func TestBatteryDialsUnderHostileSources(t *testing.T) {
	window := 5 * time.Minute
	if os.Getenv("SEEDBED_SOAK") != "" {
		window = 2 * time.Hour
	}
	for _, by := range []string{"the DHT", "PEX"} {
		for _, silent := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, victim silent %v", by, silent), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { hostileSources(t, by == "PEX", silent, window) })
			})
		}
	}
}

func hostileSources(t *testing.T, byPEX, silent bool, window time.Duration) {
	n := simnet.New(5, simnet.Link{Delay: 25 * ms})
	rng := rand.New(rand.NewPCG(1, 1))
	var mu sync.Mutex // guards rng
	victim, shared := public(9, 1), public(9, 2)
	if !silent {
		n.Host(victim) // refuses connections
	}
	lies := func() (as []netip.AddrPort) {
		mu.Lock()
		defer mu.Unlock()
		port := func() uint16 { return uint16(1 + rng.IntN(65535)) }
		for range 30 {
			as = append(as, netip.AddrPortFrom(victim, port()), netip.AddrPortFrom(shared, port()),
				netip.AddrPortFrom(public(100+rng.IntN(50), rng.IntN(1<<16)), port()))
		}
		for _, p := range []uint16{22, 25, 53, 80} {
			as = append(as, netip.AddrPortFrom(victim, p))
		}
		return as
	}
	spec, _ := folder(t, ShareOptions{PieceLength: 32 << 10}, small)

	// Three honest DHT nodes, and a seed at the victim's address.
	var honest []netip.AddrPort
	for i := range 3 {
		a := publicAt(1+i, 1)
		startAt(t, n, a, bootAt(publicAt(1, 1)))
		honest = append(honest, a)
	}
	time.Sleep(30 * time.Second)
	seed := startAt(t, n, netip.AddrPortFrom(shared, 50000), bootAt(honest...))
	wait(t, seed.add(spec).Announced(), time.Minute, "the seed is announced")

	boot := honest
	link := bare(spec)
	if byPEX {
		for i := range 40 {
			a := publicAt(10+i, 1)
			lyingPeer(t, n, a, spec.InfoHash(), lies)
			link.Peers = append(link.Peers, a.String())
		}
	} else {
		for i := range 3 {
			a := publicAt(10+i, 1)
			lyingNode(t, n, a, lies)
			boot = append(boot, a)
		}
	}
	tap := newDialTap()
	leech := startAt(t, n, publicAt(200, 1), bootAt(boot...), through(tap))
	got := leech.add(Spec{Link: link, Dir: t.TempDir()})
	began := time.Now()
	wait(t, got.Done(), time.Minute, "the honest peer is found among the false addresses")
	found := time.Since(began)

	// Another torrent that no peer has keeps the node searching.
	other := *bare(spec)
	binary.BigEndian.PutUint32(other.InfoHash[:], 0xbadc0de)
	other.Peers = link.Peers
	leech.add(Spec{Link: &other, Dir: t.TempDir()})
	time.Sleep(window)

	most, lowest := tap.busiest()
	if most > 30 {
		t.Errorf("%d dials in one second", most)
	}
	if lowest < 1024 {
		t.Errorf("port %d was dialled", lowest)
	}
	tap.mu.Lock()
	total, lied := len(tap.began), 0
	for _, x := range tap.began {
		if network := x.to.Addr().As4()[1]; network >= 100 && network < 150 {
			lied++
		}
	}
	for ip, k := range tap.most {
		if k > 1 && !byPEX { // the user gave the addresses of the lying peers
			t.Errorf("%d dials to %v at a time", k, ip)
		}
	}
	if tap.most[victim] > 1 {
		t.Errorf("%d dials to the victim at a time", tap.most[victim])
	}
	tap.mu.Unlock()
	limit := 16 + 3*int(window/time.Minute)
	if k := tap.to(victim); k > limit {
		t.Errorf("%d connections to the victim in %v, want at most %d", k, window, limit)
	}
	if lied < 30 { // from one list of lies
		t.Errorf("only %d dials to the false addresses, so the test proves nothing", lied)
	}
	t.Logf("battery: the honest peer was found after %v; in %v %d connections to the victim, %d in all, at most %d a second, none below port %d",
		found, window, tap.to(victim), total, most, lowest)
}
