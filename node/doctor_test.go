package node

import (
	"context"
	"crypto/ed25519"
	"io"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"seedbed/magnet"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

func TestMappingIsJudgedByThePortsSeen(t *testing.T) {
	for _, c := range []struct {
		mine  bool
		ports map[uint16]int
		v     Verdict
		want  string
	}{
		{true, map[uint16]int{6881: 5}, Fine, "this machine's own"},
		{true, nil, Fine, "this machine's own"},
		{false, nil, Notice, "no node tells the port"},
		{false, map[uint16]int{4000: 1}, Notice, "one is not enough"},
		{false, map[uint16]int{6881: 6}, Fine, "keeps our port 6881, as 6 of 6 nodes see it"},
		{false, map[uint16]int{4000: 6}, Fine, "of our port 6881 to 4000, as 6 of 6"},
		{false, map[uint16]int{4000: 9, 1: 1}, Fine, "as 9 of 10"},
		{false, map[uint16]int{4000: 1, 4001: 1, 4002: 1}, Notice, "endpoint-dependent mapping: 3 nodes see 3 ports"},
		{true, map[uint16]int{4000: 3}, Fine, "endpoint-independent"}, // one address, behind a NAT of its own
	} {
		v, text, advice := mapping(c.mine, 6881, c.ports)
		if v != c.v || !strings.Contains(text, c.want) || (advice == "") != strings.Contains(text, "none:") {
			t.Errorf("%v %v: %d %q, %q", c.mine, c.ports, v, text, advice)
		}
	}
}

func TestTheDoctorDialsFewPortsOfAHost(t *testing.T) {
	var found []netip.AddrPort
	for port := range uint16(2000) {
		found = append(found, netip.AddrPortFrom(netip.MustParseAddr("8.8.8.8"), port+1), netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port%4+1))
	}
	found = append(found, netip.MustParseAddrPort("9.9.9.9:6881"))
	got := fewOfEachHost(found)
	if len(got) != 4+1+3 || got[4].Port() != engine.MinUnprovenPort || got[5] != netip.MustParseAddrPort("9.9.9.9:6881") {
		t.Error(got)
	}
}

// pair is two nodes on loopback, of which one shares a file.
func pair(t *testing.T, e swarm.Encryption) (boot, link string) {
	t.Helper()
	dir := t.TempDir()
	var nodes []*Node
	for i := range 2 {
		list := []string{}
		if i > 0 {
			list = append(list, boot)
		}
		n, err := Open(Config{State: filepath.Join(dir, "state", string(rune('a'+i))), Listen: "127.0.0.1:0", Bootstrap: list, Encryption: e})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
			defer cancel()
			n.Close(ctx)
		})
		boot = n.Addrs()[0].String()
		nodes = append(nodes, n)
	}
	boot = nodes[0].Addrs()[0].String()
	path := filepath.Join(dir, "file")
	if err := os.WriteFile(path, []byte(strings.Repeat("seedbed", 30000)), 0o644); err != nil {
		t.Fatal(err)
	}
	spec, err := Share(t.Context(), path, ShareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tor, err := nodes[1].Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	<-tor.Announced()
	return boot, tor.Link()
}

// peer answers one connection after another with what it is told to say.
func peer(t *testing.T, say func(c net.Conn)) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { say(c); c.Close() })
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

func diagnose(t *testing.T, boot, link, state string) map[Step][]Finding {
	t.Helper()
	l, err := magnet.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	found := map[Step][]Finding{}
	if err := Doctor(ctx, VisitConfig{State: state, Listen: "127.0.0.1:0", Bootstrap: []string{boot}}, l, func(f Finding) {
		t.Logf("%d %s | %s | %s | %s", f.Verdict, f.Step, f.What, f.Text, f.Advice)
		found[f.Step] = append(found[f.Step], f)
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestDoctorGoesAllTheWay(t *testing.T) {
	boot, link := pair(t, swarm.PreferPlain)
	state := filepath.Join(t.TempDir(), "state")
	found := diagnose(t, boot, link, state)
	for _, s := range []Step{StepSockets, StepState, StepBootstrap, StepExternal, StepNAT, StepID, StepTable, StepLookup, StepDial, StepHandshake, StepMetadata} {
		if len(found[s]) == 0 {
			t.Errorf("nothing is said of %s", s)
		}
		for _, f := range found[s] {
			if f.Verdict != Fine {
				t.Errorf("%+v", f)
			}
		}
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Error("it left a state directory behind")
	}
}

// A peer that requires encryption is no different from others.
func TestDoctorMeetsPeersThatEncrypt(t *testing.T) {
	boot, link := pair(t, swarm.RequireEncryption)
	found := diagnose(t, boot, link, t.TempDir())
	if f := found[StepHandshake]; len(f) != 1 || !strings.Contains(f[0].Text, "1 of 1 peer shook hands, 1 encrypted") {
		t.Errorf("%+v", f)
	}
	if f := found[StepMetadata]; len(f) != 1 || f[0].Verdict != Fine {
		t.Errorf("%+v", f)
	}
}

// Peers that refuse, close, or lie are counted, and one that is honest is enough.
func TestDoctorTellsHowPeersFail(t *testing.T) {
	boot, link := pair(t, swarm.PreferPlain)
	l, err := magnet.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	shake := func(c net.Conn) {
		var r wire.Reserved
		r.SetExtended()
		io.ReadFull(c, make([]byte, wire.HandshakeLen))
		c.Write(wire.AppendHandshake(nil, r, l.InfoHash, newPeerID()))
	}
	ext := func(c net.Conn, id uint8, payload []byte) {
		c.Write(wire.Append(nil, wire.Msg{Type: wire.Extended, Ext: id, Payload: payload}))
	}
	wait := func(c net.Conn) { io.Copy(io.Discard, c) }
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()
	bad := map[string]string{
		"refused":            gone.Addr().String(),
		"closed by the peer": peer(t, func(c net.Conn) { io.ReadFull(c, make([]byte, wire.HandshakeLen)) }),
		"no BitTorrent":      peer(t, func(c net.Conn) { c.Write([]byte("HTTP/1.1 400 Bad Request\r\n" + strings.Repeat(".", 100))); wait(c) }),
		"has no metadata":    peer(t, func(c net.Conn) { shake(c); ext(c, 0, []byte("d1:mdee")); wait(c) }),
		"without extensions": peer(t, func(c net.Conn) {
			c.Write(wire.AppendHandshake(nil, wire.Reserved{}, l.InfoHash, newPeerID()))
			wait(c)
		}),
		"an impossible size": peer(t, func(c net.Conn) {
			shake(c)
			ext(c, 0, []byte("d1:md11:ut_metadatai3ee13:metadata_sizei99999999999ee"))
			wait(c)
		}),
		"a message too long":     peer(t, func(c net.Conn) { shake(c); c.Write([]byte{255, 255, 255, 255}); wait(c) }),
		"a malformed message":    peer(t, func(c net.Conn) { shake(c); ext(c, wire.ExtMetadata, []byte("x")); wait(c) }),
		"closed by the peer bef": peer(t, shake),
		"false data": peer(t, func(c net.Conn) {
			shake(c)
			ext(c, 0, []byte("d1:md11:ut_metadatai3ee13:metadata_sizei60ee"))
			ext(c, wire.ExtMetadata, []byte("d8:msg_typei1e5:piecei0e10:total_sizei60ee"+strings.Repeat("x", 60)))
			wait(c)
		}),
	}
	for _, a := range bad {
		l.Peers = append(l.Peers, a)
	}
	// Alone, they are all there is to say.
	alone := *l
	alone.InfoHash[0] ^= 1
	found := diagnose(t, boot, alone.String(), t.TempDir())
	if f := found[StepHandshake]; len(f) != 1 || f[0].Verdict != Bad || !strings.Contains(f[0].Text, "another torrent") {
		t.Errorf("%+v", f)
	}
	v, err := OpenVisit(VisitConfig{State: t.TempDir(), Listen: "127.0.0.1:0", Bootstrap: []string{boot}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var all strings.Builder
	var last Finding
	e := &examination{v: v, tell: func(f Finding) { all.WriteString(f.Text + "\n"); last = f }}
	var peers []netip.AddrPort
	for _, a := range l.Peers {
		peers = append(peers, netip.MustParseAddrPort(a))
	}
	w := newWard(e, l)
	w.visit(t.Context(), peers)
	w.report(time.Second)
	for want := range bad {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is not told", want)
		}
	}
	if last.Step != StepMetadata || last.Verdict != Bad || last.Advice == "" {
		t.Errorf("%+v", last)
	}
	t.Log(all.String())
	// With the one that shares, the torrent opens all the same.
	found = diagnose(t, boot, l.String(), t.TempDir())
	if f := found[StepMetadata]; len(f) != 1 || f[0].Verdict != Fine || !strings.Contains(f[0].Text, "210000 bytes") {
		t.Errorf("%+v", f)
	}
}

func TestAVisitLeavesNothingBehind(t *testing.T) {
	boot, _ := pair(t, swarm.PreferPlain)
	dir := t.TempDir()
	state := filepath.Join(dir, "none")
	v, err := OpenVisit(VisitConfig{State: state, Listen: "127.0.0.1:0", Bootstrap: []string{boot}})
	if err != nil {
		t.Fatal(err)
	}
	v.Settle(t.Context())
	nodes := v.Nodes()
	if err := v.Close(); err != nil || len(nodes) == 0 {
		t.Fatalf("%d nodes, %v", len(nodes), err)
	}
	if es, _ := os.ReadDir(dir); len(es) != 0 {
		t.Errorf("left %v", es)
	}
	// Saved nodes lead into the DHT without any bootstrap host, and stay as they are.
	s, err := openState(state)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.saveNode(nodeFile{Nodes: []savedNode{{nodes[0].ID.String(), nodes[0].Addr}}}); err != nil {
		t.Fatal(err)
	}
	before, _ := os.ReadFile(filepath.Join(state, "node.json"))
	if v, err = OpenVisit(VisitConfig{State: state, Listen: "127.0.0.1:0", Bootstrap: []string{}}); err != nil {
		t.Fatal(err) // though another holds the state directory
	}
	r, err := v.FindNode(t.Context(), RandomTarget())
	if err != nil || v.Saved != 1 || r.Answered == 0 {
		t.Errorf("%+v, %v", r, err)
	}
	key := ed25519.NewKeyFromSeed(make([]byte, 32))
	item, err := SignDHTItem(key, []byte("s"), 7, []byte("4:text"))
	if err != nil {
		t.Fatal(err)
	}
	p, err := v.Put(t.Context(), item, nil)
	if err != nil || p.Kept == 0 || p.Kept != p.Accepted {
		t.Errorf("%+v, %v", p, err)
	}
	g, err := v.Get(t.Context(), DHTItemTarget([32]byte(key.Public().(ed25519.PublicKey)), []byte("s")), []byte("s"), nil, nil)
	if err != nil || g.Item == nil || g.Item.Seq != 7 {
		t.Errorf("%+v, %v", g, err)
	}
	if err := v.Close(); err != nil {
		t.Error(err)
	}
	if after, _ := os.ReadFile(filepath.Join(state, "node.json")); string(after) != string(before) {
		t.Error("node.json has changed")
	}
	s.close()
}
