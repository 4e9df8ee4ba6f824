package swarm

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"runtime"
	"strconv"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/swarm/wire"
)

// attack is what a hostile peer does on one connection until it ends.
type attack func(nc net.Conn, ih id.ID, num int)

// hello returns a handshake and the extension handshake of a peer with all extensions.
func hello(ih id.ID, num int) []byte {
	var r wire.Reserved
	r.SetExtended()
	r.SetFast()
	b := wire.AppendHandshake(nil, r, ih, id.ID{0xbb, byte(num >> 8), byte(num)})
	return wire.Append(b, wire.Msg{Type: wire.Extended, Payload: []byte("d1:md11:lt_donthavei3e11:ut_metadatai1e6:ut_pexi2ee1:v1:xe")})
}

// interestedHello returns hello followed by interested, of a peer that has nothing.
func interestedHello(ih id.ID, num int) []byte {
	return wire.Append(wire.Append(hello(ih, num), wire.Msg{Type: wire.HaveNone}), wire.Msg{Type: wire.Interested})
}

// halfOpen sends a part of a handshake and waits.
func halfOpen(nc net.Conn, ih id.ID, num int) {
	if _, err := nc.Write(hello(ih, num)[:num%wire.HandshakeLen]); err == nil {
		_, _ = io.Copy(io.Discard, nc)
	}
}

// slowReader requests everything and reads nothing.
func slowReader(nc net.Conn, ih id.ID, num int) {
	b := interestedHello(ih, num)
	for i := range uint32(250) {
		b = wire.Append(b, wire.Msg{Type: wire.Request, Index: i % 16, Begin: i / 16 << 14, Length: 1 << 14})
	}
	if _, err := nc.Write(b); err == nil {
		var one [1]byte
		for {
			time.Sleep(time.Second)
			if _, err := nc.Read(one[:]); err != nil {
				return
			}
		}
	}
}

// flood sends ten thousand messages per second and reads the answers.
func flood(make func(i, num int) wire.Msg) attack {
	return func(nc net.Conn, ih id.ID, num int) {
		if _, err := nc.Write(interestedHello(ih, num)); err != nil {
			return
		}
		go func() { _, _ = io.Copy(io.Discard, nc) }()
		var b []byte
		for i := 0; ; {
			b = b[:0]
			for range 100 {
				b = wire.Append(b, make(i, num))
				i++
			}
			if _, err := nc.Write(b); err != nil {
				return
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
}

var floods = []attack{
	flood(func(i, num int) wire.Msg { // addresses without a host
		b := []byte("d5:added" + strconv.Itoa(6*50) + ":")
		for k := range 50 {
			b = append(b, 10, 200+byte(num%40), byte(i), byte(k), 0x1a, 0xe1)
		}
		return wire.Msg{Type: wire.Extended, Ext: wire.ExtPex, Payload: append(b, 'e')}
	}),
	flood(func(i, _ int) wire.Msg { // after it has declared that it wants nothing, so none may be requested
		if i == 0 {
			return wire.Msg{Type: wire.NotInterested}
		}
		return wire.Msg{Type: wire.Request, Index: uint32(i) % 192, Length: 1 << 14}
	}),
	flood(func(i, _ int) wire.Msg { return wire.Msg{Type: wire.Have, Index: uint32(i) % 192} }),
	flood(func(i, _ int) wire.Msg { return wire.Msg{Type: wire.Have, Index: uint32(i)} }),
	flood(func(int, int) wire.Msg {
		return wire.Msg{Type: wire.Extended, Payload: []byte("d1:md11:ut_metadatai1e6:ut_pexi2ee1:v1:xe")}
	}),
	flood(func(i, _ int) wire.Msg {
		return wire.Msg{Type: wire.Extended, Ext: wire.ExtMetadata, Payload: wire.AppendMetadata(nil, wire.MetadataMsg{Type: wire.MetadataRequest, Piece: i % 2})}
	}),
	flood(func(i, _ int) wire.Msg {
		return wire.Msg{Type: wire.Extended, Ext: wire.ExtDontHave, Payload: binary.BigEndian.AppendUint32(nil, uint32(i)%64)}
	}),
	flood(func(i, _ int) wire.Msg { return wire.Msg{Type: wire.Type(2 + i%2)} }), // interested and not interested
	flood(func(int, int) wire.Msg { return wire.Msg{Type: wire.KeepAlive} }),
	flood(func(i, _ int) wire.Msg { return wire.Msg{Type: wire.Extended, Ext: byte(i), Payload: []byte("d")} }),
}

// During a download hundreds of hostile peers connect to the seed and the leecher. The
// download is nearly as fast as without them, and memory does not grow.
func TestBatteryHostilePeers(t *testing.T) {
	if raceEnabled {
		t.Skip("takes minutes under the race detector")
	}
	slow, half, perFlood := 60, 60, 2
	if soak() {
		slow, half, perFlood = 500, 500, 4
	}
	info, full := makeContent(t, 96<<20, 512<<10)
	measure := func(t *testing.T, attacked bool) (took time.Duration, growth int64) {
		n := simnet.New(3, simnet.Link{Delay: 20 * time.Millisecond, Rate: 1e6})
		more := func(c *Config, _ *SharedConfig) { c.MaxConns = 200 }
		seed := startNode(t, n, 1, info, full.copy(), more)
		leech := startNode(t, n, 2, info, nil, more)
		ctx, cancel := context.WithCancel(t.Context())
		var attackers sync.WaitGroup
		num := 0
		send := func(a attack, to *node) {
			num++
			k := num
			attackers.Go(func() {
				h := n.Host(netip.AddrFrom4([4]byte{10, 100 + byte(k>>8), byte(k), 1}))
				for ctx.Err() == nil { // disconnected attackers reconnect
					nc, err := h.Dial(ctx, to.addr)
					if err != nil {
						return
					}
					stop := context.AfterFunc(ctx, func() { nc.Close() })
					a(nc, info.Hash, k)
					stop()
					nc.Close()
					time.Sleep(time.Second)
				}
			})
		}
		leech.addPeers(seed)
		for leech.Snapshot().Have < info.Length/4 {
			time.Sleep(100 * time.Millisecond)
		}
		began := time.Now()
		if attacked {
			for range half {
				send(halfOpen, seed)
				send(halfOpen, leech)
			}
			for range slow {
				send(slowReader, seed)
			}
			for _, f := range floods {
				for range perFlood {
					send(f, seed)
					send(f, leech)
				}
			}
		}
		time.Sleep(10 * time.Second)
		before := heap() - int64(n.Unread())
		took = leech.await(Complete, 30*time.Minute).Sub(began)
		growth = heap() - int64(n.Unread()) - before
		leech.checkContent(full)
		cancel()
		attackers.Wait()
		seed.close()
		leech.close()
		return took, growth
	}
	var alone, attacked time.Duration
	var growth int64
	synctest.Test(t, func(t *testing.T) { alone, _ = measure(t, false) })
	synctest.Test(t, func(t *testing.T) { attacked, growth = measure(t, true) })
	share := alone.Seconds() / attacked.Seconds()
	if share < 0.9 {
		t.Errorf("under attack the throughput is %.2f of the normal one: %v instead of %v", share, attacked, alone)
	}
	if growth > 8<<20 {
		t.Errorf("the heap grew by %d KiB", growth>>10)
	}
	t.Logf("battery: %d half-open handshakes, %d slow readers, %d floods of %d kinds: throughput %.2f of the normal one, the heap grew by %d KiB",
		2*half, slow, 2*perFlood*len(floods), len(floods), share, growth>>10)
}

// heap returns the memory in use.
func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}
