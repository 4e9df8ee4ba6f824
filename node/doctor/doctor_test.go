package doctor

import (
	"context"
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
	"seedbed/node"
	"seedbed/node/visit"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

func TestMapping(t *testing.T) {
	for _, c := range []struct {
		mine  bool
		ports map[uint16]int
		v     Verdict
		want  string
	}{
		{true, map[uint16]int{6881: 5}, Fine, "belongs to this machine"},
		{true, nil, Fine, "belongs to this machine"},
		{false, nil, Notice, "no node reported the port"},
		{false, map[uint16]int{4000: 1}, Notice, "one answer is not enough"},
		{false, map[uint16]int{6881: 6}, Fine, "keeps our port 6881, according to 6 of 6 nodes"},
		{false, map[uint16]int{4000: 6}, Fine, "of our port 6881 to 4000, according to 6 of 6"},
		{false, map[uint16]int{4000: 9, 1: 1}, Fine, "according to 9 of 10"},
		{false, map[uint16]int{4000: 1, 4001: 1, 4002: 1}, Notice, "endpoint-dependent mapping: 3 nodes see 3 ports"},
		{true, map[uint16]int{4000: 3}, Fine, "endpoint-independent"}, // one address, behind its own NAT
	} {
		_, v, text, advice := mapping(c.mine, 6881, c.ports)
		if v != c.v || !strings.Contains(text, c.want) || (advice == "") != strings.Contains(text, "no NAT:") {
			t.Errorf("%v %v: %d %q, %q", c.mine, c.ports, v, text, advice)
		}
	}
}

// pair starts two nodes on loopback; one shares a file.
func pair(t *testing.T, e swarm.Encryption) (boot, link string) {
	t.Helper()
	dir := t.TempDir()
	var nodes []*node.Node
	for i := range 2 {
		list := []string{}
		if i > 0 {
			list = append(list, boot)
		}
		n, err := node.Open(node.Config{State: filepath.Join(dir, "state", string(rune('a'+i))), Listen: "127.0.0.1:0", Bootstrap: list, Encryption: e})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
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
	spec, err := node.Share(t.Context(), path, node.ShareOptions{})
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

// fakePeer listens for connections, and calls say with each.
func fakePeer(t *testing.T, say func(c net.Conn)) string {
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

// refusing returns an address that refuses connections until the test ends: the near end of a connection.
// A port that is free could be given to somebody else.
func refusing(t *testing.T) string {
	t.Helper()
	c, err := net.Dial("tcp", fakePeer(t, func(c net.Conn) { io.Copy(io.Discard, c) }))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	return c.LocalAddr().String()
}

// awaitRequest reads messages until it gets a metadata request.
func awaitRequest(c net.Conn) {
	for {
		var prefix [wire.PrefixLen]byte
		if _, err := io.ReadFull(c, prefix[:]); err != nil {
			return
		}
		n, _ := wire.Length(prefix[:])
		frame := make([]byte, n)
		if _, err := io.ReadFull(c, frame); err != nil {
			return
		}
		if m, err := wire.Parse(frame); err == nil && m.Type == wire.Extended && m.Ext == 3 {
			return
		}
	}
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
	if err := Examine(ctx, visit.Config{State: state, Listen: "127.0.0.1:0", Bootstrap: []string{boot}}, l, func(f Finding) {
		t.Logf("%d %s | %s | %s | %s", f.Verdict, f.Step, f.What, f.Text, f.Advice)
		found[f.Step] = append(found[f.Step], f)
	}); err != nil {
		t.Fatal(err)
	}
	return found
}

func TestExamineAWorkingNode(t *testing.T) {
	boot, link := pair(t, swarm.PreferPlain)
	state := filepath.Join(t.TempDir(), "state")
	found := diagnose(t, boot, link, state)
	for _, s := range []Step{StepSockets, StepState, StepBootstrap, StepExternal, StepNAT, StepReachable, StepUTP, StepID, StepTable, StepLookup, StepDial, StepHandshake, StepMetadata} {
		if len(found[s]) == 0 {
			t.Errorf("no finding for %s", s)
		}
		for _, f := range found[s] {
			if f.Verdict != Fine {
				t.Errorf("%+v", f)
			}
		}
	}
	if _, err := os.Stat(state); !os.IsNotExist(err) {
		t.Error("it created the state directory")
	}
}

// Peers that require encryption work like others.
func TestExamineWithEncryptedPeers(t *testing.T) {
	boot, link := pair(t, swarm.RequireEncryption)
	found := diagnose(t, boot, link, t.TempDir())
	if f := found[StepHandshake]; len(f) != 1 || !strings.Contains(f[0].Text, "1 of 1 peer completed the handshake, 1 encrypted") {
		t.Errorf("%+v", f)
	}
	if f := found[StepMetadata]; len(f) != 1 || f[0].Verdict != Fine {
		t.Errorf("%+v", f)
	}
}

// Peers that refuse or close the connection, or that send false data, are counted by
// reason. One honest peer is enough for the metadata.
func TestReasonsWhyPeersFail(t *testing.T) {
	boot, link := pair(t, swarm.PreferPlain)
	l, err := magnet.Parse(link)
	if err != nil {
		t.Fatal(err)
	}
	shake := func(c net.Conn) {
		var r wire.Reserved
		r.SetExtended()
		io.ReadFull(c, make([]byte, wire.HandshakeLen))
		c.Write(wire.AppendHandshake(nil, r, l.InfoHash, node.NewPeerID()))
	}
	ext := func(c net.Conn, id uint8, payload []byte) {
		c.Write(wire.Append(nil, wire.Msg{Type: wire.Extended, Ext: id, Payload: payload}))
	}
	wait := func(c net.Conn) { io.Copy(io.Discard, c) }
	bad := map[string]string{
		"refused":            refusing(t),
		"closed by the peer": fakePeer(t, func(c net.Conn) { io.ReadFull(c, make([]byte, wire.HandshakeLen)) }),
		"no BitTorrent":      fakePeer(t, func(c net.Conn) { c.Write([]byte("HTTP/1.1 400 Bad Request\r\n" + strings.Repeat(".", 100))); wait(c) }),
		"without extensions": fakePeer(t, func(c net.Conn) {
			c.Write(wire.AppendHandshake(nil, wire.Reserved{}, l.InfoHash, node.NewPeerID()))
			wait(c)
		}),
		"2 broke the protocol": fakePeer(t, func(c net.Conn) {
			shake(c)
			ext(c, 0, []byte("d1:md11:ut_metadatai3ee13:metadata_sizei99999999999ee"))
			wait(c)
		}),
		"broke the protocol": fakePeer(t, func(c net.Conn) { shake(c); c.Write([]byte{255, 255, 255, 255}); wait(c) }),
		"sent bad data": fakePeer(t, func(c net.Conn) {
			shake(c)
			ext(c, 0, []byte("d1:md11:ut_metadatai3ee13:metadata_sizei60ee"))
			awaitRequest(c)
			ext(c, wire.ExtMetadata, []byte("d8:msg_typei1e5:piecei0e10:total_sizei60ee"+strings.Repeat("x", 60)))
			wait(c)
		}),
	}
	for _, a := range bad {
		l.Peers = append(l.Peers, a)
	}
	// With another infohash, no peer completes the handshake.
	other := *l
	other.InfoHash[0] ^= 1
	found := diagnose(t, boot, other.String(), t.TempDir())
	if f := found[StepHandshake]; len(f) != 1 || f[0].Verdict != Bad || !strings.Contains(f[0].Text, "another torrent") {
		t.Errorf("%+v", f)
	}
	v, err := visit.Open(visit.Config{State: t.TempDir(), Listen: "127.0.0.1:0", Bootstrap: []string{boot}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	var all strings.Builder
	var last Finding
	e := &examination{v: v, report: func(f Finding) { all.WriteString(f.Text + "\n"); last = f }}
	var peers []engine.Candidate
	for _, a := range l.Peers {
		peers = append(peers, engine.Candidate{Addr: netip.MustParseAddrPort(a), Source: engine.FromHint})
	}
	tr := newTrial(e, l)
	tr.run(t.Context(), peers)
	tr.report(time.Second)
	for want := range bad {
		if !strings.Contains(all.String(), want) {
			t.Errorf("%q is not reported", want)
		}
	}
	if last.Step != StepMetadata || last.Verdict != Bad || last.Advice == "" {
		t.Errorf("%+v", last)
	}
	t.Log(all.String())
	// With the honest peer as well, the metadata is fetched.
	found = diagnose(t, boot, l.String(), t.TempDir())
	if f := found[StepMetadata]; len(f) != 1 || f[0].Verdict != Fine || !strings.Contains(f[0].Text, "210000 bytes") {
		t.Errorf("%+v", f)
	}
}
