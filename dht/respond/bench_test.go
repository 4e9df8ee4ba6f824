package respond

import (
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"testing"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/store"
	"seedbed/dht/table"
	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// bench returns a responder with real tables, and datagrams from many sources.
func bench(b testing.TB, rate float64) (*Responder, []netip.AddrPort) {
	rnd := rand.New(rand.NewChaCha8([32]byte{}))
	random := func() (v id.ID) {
		binary.BigEndian.PutUint64(v[:], rnd.Uint64())
		binary.BigEndian.PutUint64(v[8:], rnd.Uint64())
		return v
	}
	t4 := table.New(table.Config{ID: random(), Relaxed: true})
	t6 := table.New(table.Config{ID: random(), Relaxed: true})
	for i := range 20_000 {
		a := netip.AddrFrom4([4]byte{11, byte(i >> 16), byte(i >> 8), byte(i)})
		t4.Replied(1, netip.AddrPortFrom(a, 6881), random(), time.Millisecond)
	}
	r := New(Config{Table4: t4, Table6: t6, Store: store.New(store.Config{}, 0, rnd), Tokens: store.NewTokens(0, rnd), Rand: rnd, Rate: rate})
	from := make([]netip.AddrPort, 10_000)
	for i := range from {
		from[i] = netip.AddrPortFrom(netip.AddrFrom4([4]byte{12, byte(i >> 16), byte(i >> 8), byte(i)}), 6881)
	}
	return r, from
}

func TestNoAllocations(t *testing.T) {
	r, from := bench(t, 0)
	buf := make([]byte, 0, krpc.MaxDatagram)
	var m krpc.Message
	i := 0
	for _, q := range [][]byte{query("ping", ""), query("find_node", with("target", target)), query("find_node", with("target", target)+"4:wantl2:n42:n6e"),
		query("get_peers", with("info_hash", target)), query("announce_peer", ""), query("vote", ""), get(with("target", target)),
		query("sample_infohashes", with("target", target)), query("get_peers", with("info_hash", target)+"6:scrapei1e"), announce(nil, with("info_hash", target)+"4:porti1e")} {
		if n := testing.AllocsPerRun(200, func() {
			i++
			if err := krpc.Parse(q, &m); err != nil {
				t.Fatal(err)
			}
			if b, _ := r.Handle(buf, 1, from[i%len(from)], &m.Query); len(b) == 0 {
				t.Fatal("no reply")
			}
		}); n != 0 {
			t.Errorf("%q: %v allocations", q, n)
		}
	}
}

// BenchmarkQuery measures a query from the datagram to the reply, with all
// protections, from 10,000 sources.
func BenchmarkQuery(b *testing.B) {
	run := func(name string, datagram func(r *Responder, i int, from netip.AddrPort) []byte) {
		b.Run(name, func(b *testing.B) {
			r, from := bench(b, 0)
			for i := range 500 {
				r.cfg.Store.Announce(1, target, netip.AddrPortFrom(netip.AddrFrom4([4]byte{13, 0, byte(i >> 8), byte(i)}), 1), i%2 == 0)
			}
			queries := make([][]byte, 1<<14)
			for i := range queries {
				queries[i] = datagram(r, i, from[i%len(from)])
			}
			buf := make([]byte, 0, krpc.MaxDatagram)
			var m krpc.Message
			i := 0
			b.ReportAllocs()
			for b.Loop() {
				if err := krpc.Parse(queries[i%len(queries)], &m); err != nil {
					b.Fatal(err)
				}
				// Each source sends a query about every 100 ms.
				now := mono.Time(1+i) * mono.Time(10*time.Microsecond)
				if _, what := r.Handle(buf, now, from[i%len(queries)%len(from)], &m.Query); what != Answered {
					b.Fatal(what)
				}
				i++
			}
			b.ReportMetric(1e9/float64(b.Elapsed().Nanoseconds())*float64(b.N)/1e3, "kqueries/s")
		})
	}
	spread := func(i int) id.ID {
		t := target
		binary.BigEndian.PutUint32(t[:], uint32(i)*2654435761)
		return t
	}
	run("ping", func(*Responder, int, netip.AddrPort) []byte { return query("ping", "") })
	run("find_node", func(_ *Responder, i int, _ netip.AddrPort) []byte {
		return query("find_node", with("target", spread(i)))
	})
	run("get_peers/none", func(_ *Responder, i int, _ netip.AddrPort) []byte {
		return query("get_peers", with("info_hash", spread(i)))
	})
	run("get_peers/full", func(*Responder, int, netip.AddrPort) []byte {
		return query("get_peers", with("info_hash", target))
	})
	run("get_peers/scrape", func(*Responder, int, netip.AddrPort) []byte {
		return query("get_peers", with("info_hash", target)+"6:scrapei1e")
	})
	run("sample_infohashes", func(_ *Responder, i int, _ netip.AddrPort) []byte {
		return query("sample_infohashes", with("target", spread(i)))
	})
	run("put/immutable", func(r *Responder, i int, from netip.AddrPort) []byte {
		v := fmt.Appendf(nil, "100:%0100d", i)
		return query("put", fmt.Sprintf("5:token8:%s1:v%s", r.cfg.Tokens.Append(nil, 1, from.Addr(), store.ImmutableTarget(v)), v))
	})
	run("announce_peer", func(r *Responder, i int, from netip.AddrPort) []byte {
		h := spread(i % 1000)
		return announce(r.cfg.Tokens.Append(nil, 1, from.Addr(), h), with("info_hash", h)+"4:porti6881e")
	})
}
