package swarm

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/swarm/wire"
)

// seedHello returns hello of a peer that has everything and unchokes us.
func seedHello(ih id.ID, num int) []byte {
	return wire.Append(wire.Append(hello(ih, num), wire.Msg{Type: wire.HaveAll}), wire.Msg{Type: wire.Unchoke})
}

// mute accepts requests and answers none.
func mute(nc net.Conn, ih id.ID, num int) {
	if _, err := nc.Write(seedHello(ih, num)); err == nil {
		_, _ = io.Copy(io.Discard, nc)
	}
}

// trickle answers the first request at one byte per second.
func trickle(nc net.Conn, ih id.ID, num int) {
	if _, err := nc.Write(seedHello(ih, num)); err != nil {
		return
	}
	if _, err := io.ReadFull(nc, make([]byte, wire.HandshakeLen)); err != nil {
		return
	}
	for {
		var p [wire.PrefixLen]byte
		if _, err := io.ReadFull(nc, p[:]); err != nil {
			return
		}
		b := make([]byte, binary.BigEndian.Uint32(p[:]))
		if _, err := io.ReadFull(nc, b); err != nil {
			return
		}
		if len(b) == 0 || wire.Type(b[0]) != wire.Request {
			continue
		}
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		out := binary.BigEndian.AppendUint32(nil, 9+1<<14)
		out = append(append(out, byte(wire.Piece)), b[1:9]...)
		if _, err := nc.Write(out); err != nil {
			return
		}
		for {
			time.Sleep(time.Second)
			if _, err := nc.Write([]byte{0}); err != nil {
				return
			}
		}
	}
}

// flap chokes and unchokes alternately.
func flap(nc net.Conn, ih id.ID, num int) {
	if _, err := nc.Write(seedHello(ih, num)); err != nil {
		return
	}
	go func() { _, _ = io.Copy(io.Discard, nc) }()
	for i := 0; ; i++ {
		time.Sleep(700 * time.Millisecond)
		if _, err := nc.Write(wire.Append(nil, wire.Msg{Type: wire.Type(i % 2)})); err != nil {
			return
		}
	}
}

// Peers that accept requests and deliver nothing, or a byte per second, delay a download
// from one good seed by at most half of its time plus five seconds.
func TestBatteryMutePeersOnTheWire(t *testing.T) {
	if raceEnabled {
		t.Skip("slow under the race detector")
	}
	counts := []int{20, 60}
	if soak() {
		counts = append(counts, 500)
	}
	info, full := makeContent(t, 32<<20, 256<<10)
	measure := func(t *testing.T, kinds []attack, count int) (took time.Duration) {
		n := simnet.New(3, simnet.Link{Delay: 5 * time.Millisecond, Rate: 100e6})
		large := func(c *Config, s *SharedConfig) {
			c.MaxConns, c.Budget = 1000, 24
			s.Memory, s.ChunkSize = 24<<20, 1<<20
		}
		seed := startNode(t, n, 1, info, full.copy(), large)
		leech := startNode(t, n, 2, info, newMem(info), large)
		ctx, cancel := context.WithCancel(t.Context())
		var attackers sync.WaitGroup
		for k := range count {
			attackers.Go(func() {
				nc, err := n.Host(netip.AddrFrom4([4]byte{10, 100 + byte(k>>8), byte(k), 1})).Dial(ctx, leech.addr)
				if err != nil {
					return
				}
				defer nc.Close()
				defer context.AfterFunc(ctx, func() { nc.Close() })()
				kinds[k%len(kinds)](nc, info.Hash, k)
			})
		}
		time.Sleep(time.Second) // they connect first
		if s := leech.Snapshot(); s.Connected < count-count/20 {
			t.Errorf("%d of %d are connected", s.Connected, count)
		}
		began := time.Now()
		leech.addPeers(seed)
		took = leech.await(Complete, 30*time.Minute).Sub(began)
		leech.checkContent(full)
		cancel()
		attackers.Wait()
		seed.close()
		leech.close()
		return took
	}
	var alone, worst time.Duration
	synctest.Test(t, func(t *testing.T) { alone = measure(t, nil, 0) })
	for _, count := range counts {
		for name, kinds := range map[string][]attack{"mute": {mute}, "trickling": {trickle}, "flapping": {flap}, "mixed": {mute, trickle, flap}} {
			var took time.Duration
			synctest.Test(t, func(t *testing.T) { took = measure(t, kinds, count) })
			if took > alone*3/2+5*time.Second {
				t.Errorf("with %d %s peers %v, alone %v", count, name, took, alone)
			}
			worst = max(worst, took)
		}
	}
	t.Logf("battery: 32 MiB from one seed with %v mute, trickling and flapping peers: at worst %v, alone %v", counts, worst, alone)
}
