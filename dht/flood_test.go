package dht

import (
	"encoding/binary"
	"math/rand/v2"
	"net/netip"
	"runtime"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht/krpc"
	"seedbed/internal/simnet"
)

// Ten thousand sources query and announce without end, each with new ids every time.
// What a node stores of them does not grow, and its own lookups still find their
// targets.
func TestFloodFromTenThousandSources(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(33, simnet.Link{Delay: 20 * ms})
		addrs := startNetwork(t, net, 30)
		d := newNode(t, Config{Conns: conn(t, net, public(500)), Bootstrap: []string{at(addrs[0]).String()}})
		other := newNode(t, Config{Conns: conn(t, net, public(501)), Bootstrap: []string{at(addrs[0]).String()}})
		time.Sleep(time.Minute)

		r := rand.New(rand.NewPCG(1, 1))
		f := d.families[0]
		var m krpc.Message
		buf := make([]byte, 0, krpc.MaxDatagram)
		token := func(from netip.AddrPort, infohash []byte) []byte {
			// The attacker has got a token, so that its announces are valid.
			q := append([]byte("d1:ad2:id20:01234567890123456789"+"9:info_hash20:"), infohash...)
			d.mu.Lock()
			defer d.mu.Unlock()
			out := f.datagram(d.now(), buf[:0], append(q, "e1:q9:get_peers1:t1:a1:y1:qe"...), from, &m)
			var reply krpc.Message
			if krpc.Parse(out, &reply) != nil {
				return nil
			}
			return reply.Response.Token
		}
		flood := func(rounds int) {
			for round := range rounds {
				for n := range 10_000 {
					from := netip.AddrPortFrom(netip.AddrFrom4([4]byte{90, byte(n >> 8), byte(n), byte(round)}), uint16(1+n))
					var infohash [20]byte
					binary.BigEndian.PutUint64(infohash[:], r.Uint64())
					tok := token(from, infohash[:])
					if len(tok) == 0 {
						continue
					}
					b := append([]byte("d1:ad2:id20:"), infohash[:]...)
					b = append(append(b, "9:info_hash20:"...), infohash[:]...)
					b = append(append(b, "4:porti6881e5:token"...), byte('0'+len(tok)), ':')
					b = append(append(b, tok...), "e1:q13:announce_peer1:t1:a1:y1:qe"...)
					d.mu.Lock()
					f.datagram(d.now(), buf[:0], b, from, &m)
					d.mu.Unlock()
				}
				time.Sleep(100 * ms)
			}
		}
		heap := func() uint64 {
			var s runtime.MemStats
			runtime.GC()
			runtime.ReadMemStats(&s)
			return s.HeapAlloc
		}
		flood(10)
		before := heap()
		flooding := make(chan struct{})
		go func() { flood(20); close(flooding) }()
		for range 5 {
			infohash := randomID()
			if s, err := other.Announce(t.Context(), infohash, onPort(4000), false, nil); err != nil || s.Accepted < 4 {
				t.Fatal(s, err)
			}
			found := newFound()
			if s, err := d.Lookup(t.Context(), infohash, found.add); err != nil || len(found.peers) != 1 {
				t.Errorf("under the flood: %d peers, %+v, %v", len(found.peers), s, err)
			}
		}
		<-flooding
		after := heap()
		st := d.Stats()
		t.Logf("%d queries; heap %d KiB, then %d KiB; %d nodes known", st.V4.Queries, before>>10, after>>10, st.V4.Nodes)
		if after > before+4<<20 {
			t.Errorf("the heap grew from %d to %d KiB", before>>10, after>>10)
		}
		if st.V4.Queries < 200_000 {
			t.Errorf("only %d queries", st.V4.Queries)
		}
	})
}
