package dht

import (
	"encoding/binary"
	"math/rand/v2"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht/krpc"
	"seedbed/dht/lookup"
	"seedbed/dht/table"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
)

// forgery is a group of nodes around a target: they return each other, give
// tokens, accept every announce and drop it.
type forgery struct{ members []lookup.Node }

func (f *forgery) answer(r *rand.Rand, own id.ID, q *krpc.Query) []byte {
	b := append([]byte("d1:rd2:id20:"), own[:]...)
	if q.Kind != krpc.Ping && q.Kind != krpc.AnnouncePeer {
		var nodes []byte
		for range table.K {
			o := f.members[r.IntN(len(f.members))]
			ip := o.Addr.Addr().As4()
			nodes = binary.BigEndian.AppendUint16(append(append(nodes, o.ID[:]...), ip[:]...), o.Addr.Port())
		}
		b = bencode.AppendBytes(append(b, "5:nodes"...), nodes)
		b = append(b, "5:token4:lies"...)
	}
	return append(bencode.AppendBytes(append(b, "e1:t"...), q.T), "1:y1:re"...)
}

// near returns an id that shares this many bits with the target and equals x after them.
func near(target id.ID, shared int, x id.ID) id.ID {
	for i := range shared {
		bit := byte(0x80 >> (i % 8))
		x[i/8] = x[i/8]&^bit | target[i/8]&bit
	}
	return x
}

// surround puts forged nodes around the infohash, which introduce themselves to all nodes.
func (f *forgery) surround(t *testing.T, net *simnet.Net, first, n int, infohash id.ID, nodes int) {
	for i := range n {
		f.members = append(f.members, lookup.Node{ID: near(infohash, 14, randomID()), Addr: at(public(first + i))})
	}
	for i, m := range f.members {
		c := conn(t, net, m.Addr.Addr())[0]
		go func() {
			r := rand.New(rand.NewPCG(uint64(i), 0))
			in := []netx.Datagram{{Buf: make([]byte, 2048)}}
			for {
				if _, err := c.ReadBatch(in); err != nil {
					return
				}
				var k krpc.Message
				if krpc.Parse(in[0].Buf[:in[0].N], &k) == nil && k.Y == 'q' {
					_ = c.WriteTo(f.answer(r, m.ID, &k.Query), in[0].Addr)
				}
			}
		}()
		hello := append(append([]byte("d1:ad2:id20:"), m.ID[:]...), "e1:q4:ping1:t2:aa1:y1:qe"...)
		for to := range nodes {
			_ = c.WriteTo(hello, at(public(to)))
		}
	}
}

// The nodes closest to an infohash are all forged, and nearly all lookups still find what
// honest nodes store. In a network this small a node's estimate of where the forgery ends
// is rough: in about one of 200 neighbourhoods, it misleads some of the nodes.
func TestLookupInAForgedNeighbourhood(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const size, sybils, infohashes = 60, 30, 5
		net := simnet.New(3, simnet.Link{Delay: 10 * ms, Jitter: 20 * ms})
		var nodes []*DHT
		for i := range size {
			var boot []string
			if i > 0 {
				boot = []string{at(public(0)).String(), at(public(i / 2)).String()}
			}
			nodes = append(nodes, newNode(t, Config{Conns: conn(t, net, public(i)), Bootstrap: boot}))
			time.Sleep(200 * ms)
		}
		searchers := nodes[20:40]
		var failed int
		for i := range infohashes {
			infohash := randomID()
			var f forgery
			f.surround(t, net, 1000*(i+1), sybils, infohash, size)
			time.Sleep(20 * time.Second)

			if s, err := nodes[5].Announce(t.Context(), infohash, onPort(4000), false, nil); err != nil || s.Accepted < 8+sybils/4 {
				t.Fatalf("announced to %+v, %v", s, err)
			}
			for _, d := range searchers {
				found := newFound()
				if s, err := d.Lookup(t.Context(), infohash, found.add); err != nil {
					t.Fatal(err)
				} else if len(found.peers) != 1 {
					failed++
					t.Logf("found %v: %+v", found.peers, s)
				}
			}
		}
		if failed > infohashes*len(searchers)/10 {
			t.Errorf("%d lookups failed", failed)
		}
	})
}
