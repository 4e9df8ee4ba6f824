package follow

import (
	"crypto/ed25519"
	"path/filepath"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/dht/krpc"
	"seedbed/internal/bencode"
	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// lyingNode is a DHT node that answers every get with the same item while lies is set, and
// with no item before that.
type lyingNode struct {
	conn netx.PacketConn
	id   id.ID
	give []byte // bencoded entries k, seq, sig and v of a response
	lies atomic.Bool
	gets atomic.Int64 // number of gets answered with the item
}

func startLyingNode(t testing.TB, n *simnet.Net, num int, near id.ID, give []byte) *lyingNode {
	t.Helper()
	conn, err := n.Host(nodetest.Addr(num)).PacketConn(node.DefaultPort)
	if err != nil {
		t.Fatal(err)
	}
	l := &lyingNode{conn: conn, id: near, give: give}
	l.id[19] ^= byte(num)
	done := make(chan struct{})
	go func() { defer close(done); l.run() }()
	t.Cleanup(func() { conn.Close(); <-done })
	return l
}

func (l *lyingNode) run() {
	ds := make([]netx.Datagram, 8)
	for i := range ds {
		ds[i].Buf = make([]byte, 2048)
	}
	for {
		n, err := l.conn.ReadBatch(ds)
		if err != nil {
			return
		}
		for _, d := range ds[:n] {
			var m krpc.Message
			if krpc.Parse(d.Buf[:d.N], &m) != nil || m.Y != 'q' {
				continue
			}
			b := append([]byte("d1:rd"), bencode.AppendBytes(bencode.AppendString(nil, "id"), l.id[:])...)
			// Sorted by key: id, k, nodes, seq, sig, token, v.
			if string(m.Query.Name) == "get" && l.lies.Load() {
				l.gets.Add(1)
				b = append(b, l.give...)
			} else {
				b = append(b, "5:nodes0:5:token1:x"...)
			}
			b = append(b, 'e')
			b = append(bencode.AppendBytes(bencode.AppendString(b, "t"), m.T), "1:y1:re"...)
			_ = l.conn.WriteTo(b, d.Addr)
		}
	}
}

// entries returns the entries of a response with an item.
func entries(i dht.Item) []byte {
	b := bencode.AppendBytes(bencode.AppendString(nil, "k"), i.Key[:])
	b = append(b, "5:nodes0:"...)
	b = bencode.AppendInt(bencode.AppendString(b, "seq"), i.Seq)
	b = bencode.AppendBytes(bencode.AppendString(b, "sig"), i.Sig[:])
	b = append(b, "5:token1:x1:v"...)
	return append(b, i.Value...)
}

// A follower ignores items that are old, unsigned, signed by another key, or do not name a
// torrent, and counts them.
func TestRefusedItems(t *testing.T) {
	key, other := testKey(0), testKey(1)
	sign := func(key ed25519.PrivateKey, seq int64, v string) dht.Item {
		i, err := dht.SignItem(key, nil, seq, bencode.Value(v))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	const evil = "d2:ih20:eeeeeeeeeeeeeeeeeeeee"
	forged := sign(other, 9, evil)
	forged.Key = [ed25519.PublicKeySize]byte(key.Public().(ed25519.PublicKey))
	for _, c := range []struct {
		name string
		item dht.Item
		hit  func(Stats) int64
		lost bool // signed by the key itself: the publisher refuses to publish another version
	}{
		{"an old version, signed", sign(key, 1, evil), func(s Stats) int64 { return s.Older }, false},
		{"another value under the same number", sign(key, 2, evil), func(s Stats) int64 { return s.Older + s.Forked }, true},
		{"a newer one that is signed by another key", forged, func(s Stats) int64 { return s.Unsigned }, false},
		{"an item of another key", sign(other, 9, evil), func(s Stats) int64 { return s.Foreign }, false},
		{"a newer one that names no torrent", sign(key, 9, "d2:ih3:abce"), func(s Stats) int64 { return s.Useless }, true},
		{"a newer one that is not a dictionary", sign(key, 9, "i1e"), func(s Stats) int64 { return s.Useless }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(7, simnet.Link{Delay: 10 * ms})
				nodetest.Ring(t, n, 6)
				dir, to := nodetest.Site(t, 3), t.TempDir()
				a := start(t, n, 1, nodetest.Boot(100))
				p := a.publish(key, dir)
				filetest.Write(t, filepath.Join(dir, "x"), []byte("x"))
				a.update(p)
				l := startLyingNode(t, n, 50, targetOf(keyLink(key)), entries(c.item))
				b := start(t, n, 2, nodetest.Boot(101, 50))
				f := b.follow(key, to, func(c *Config) { c.Poll = 10 * time.Second })
				reaches(t, f, 2, 2*time.Minute)
				l.lies.Store(true)
				time.Sleep(3 * time.Minute)
				if l.gets.Load() == 0 {
					t.Fatal("the lying node was not asked")
				}
				if f.Seq() != 2 || c.hit(f.Stats()) == 0 {
					t.Errorf("at version %d; %+v", f.Seq(), f.Stats())
				}
				filetest.Same(t, dir, filepath.Join(to, "current", "site"))
				// The next genuine version is followed.
				if c.lost {
					return
				}
				filetest.Write(t, filepath.Join(dir, "y"), []byte("y"))
				if _, err := p.Update(t.Context()); err != nil {
					t.Fatal(err)
				}
				reaches(t, f, 3, time.Minute)
			})
		})
	}
}
