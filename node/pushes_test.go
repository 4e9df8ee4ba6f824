package node

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/simnet"
)

// pushKey signs the items of these tests.
var pushKey = ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))

func signed(t testing.TB, seq int64, value string) dht.Item {
	t.Helper()
	i, err := dht.SignItem(pushKey, nil, seq, bencode.Value(value))
	if err != nil {
		t.Fatal(err)
	}
	return i
}

// subscriber records the items that a subscription reports.
type subscriber struct {
	*ItemSubscription
	mu   sync.Mutex
	seqs []int64
}

func subscribe(r *rig, of ...*Torrent) *subscriber {
	s := &subscriber{}
	s.ItemSubscription = (&Items{pushes: &r.pushes}).Subscribe([32]byte(pushKey.Public().(ed25519.PublicKey)), nil, func(i dht.Item) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.seqs = append(s.seqs, i.Seq)
	})
	for _, t := range of {
		s.SetTorrents(t.InfoHash())
	}
	return s
}

func (s *subscriber) want(t *testing.T, what string, seqs ...int64) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.seqs, seqs) {
		t.Errorf("%s: items %v, want %v", what, s.seqs, seqs)
	}
	s.seqs = nil
}

// An item goes from node to node, and to the clients of each: once, unless it is older. A client that has left gets nothing,
// and nothing is kept of it.
func TestPushedItemsGoFromNodeToNode(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * ms})
		spec, _ := folder(t, ShareOptions{PieceLength: 16 << 10}, small)
		a, b, c := start(t, n, 1, noDHT), start(t, n, 2, noDHT), start(t, n, 3, noDHT)
		ta := a.add(spec)
		tb := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
		subA, alsoA, subB := subscribe(a, ta), subscribe(a), subscribe(b, tb)
		wait(t, tb.Done(), time.Minute, "the download of b")
		tc := c.add(Spec{Link: withPeers(spec, at(2).String()), Dir: t.TempDir()})
		subC := subscribe(c, tc)
		wait(t, tc.Done(), time.Minute, "the download of c")
		time.Sleep(10 * time.Second)
		if subA.Peers() == 0 || subB.Peers() == 0 || subC.Peers() == 0 || alsoA.Peers() != 0 {
			t.Fatalf("connected peers: %d, %d, %d, and %d without a torrent", subA.Peers(), subB.Peers(), subC.Peers(), alsoA.Peers())
		}

		subA.Push(signed(t, 5, "i1e"))
		time.Sleep(time.Second)
		subA.want(t, "the client that has pushed it")
		alsoA.want(t, "another client of that node", 5)
		subB.want(t, "b", 5)
		subC.want(t, "c", 5)
		subC.Push(signed(t, 4, "i1e"))
		subB.Push(signed(t, 5, "i1e"))
		other, err := dht.SignItem(pushKey, []byte("another publication"), 9, bencode.Value("i1e"))
		if err != nil {
			t.Fatal(err)
		}
		subA.Push(other)
		time.Sleep(time.Second)
		for i, s := range []*subscriber{subA, alsoA, subB, subC} {
			s.want(t, fmt.Sprint("an old item, a known one and one of another publication, client ", i))
		}

		// Two machines publish under the key.
		subA.Push(signed(t, 5, "i2e"))
		time.Sleep(time.Second)
		alsoA.want(t, "another value with the same number", 5)
		subB.want(t, "b, to which it is not passed on")

		subB.Close()
		b.pushes.mu.Lock()
		if len(b.pushes.items)+len(b.pushes.of) != 0 {
			t.Errorf("%d publications and %d torrents are kept of a client that has left", len(b.pushes.items), len(b.pushes.of))
		}
		b.pushes.mu.Unlock()
		if subB.Peers() != 0 {
			t.Errorf("%d peers after Close", subB.Peers())
		}
		subA.Push(signed(t, 6, "i3e"))
		time.Sleep(time.Second)
		subB.want(t, "after Close")
	})
}

// A node checks so many signatures at once, and so many a second. One publication takes at most half of them.
func TestSignatureChecksAreLimited(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, simnet.New(1, simnet.Link{}), 1, noDHT)
		var targets []id.ID
		for i := range 3 {
			s := (&Items{pushes: &a.pushes}).Subscribe([32]byte{byte(i)}, nil, func(dht.Item) {})
			targets = append(targets, s.target)
		}
		total := int64(0)
		admitted := func(target id.ID, items int64) (count int) {
			for range items {
				total++
				i := signed(t, total, "i1e")
				if a.pushes.admit(target, messageOf(&i)) {
					count++
				}
			}
			return count
		}
		for i, want := range []int{itemChecksBurst / 2, itemChecksBurst / 2, 0} {
			if k := admitted(targets[i], 300); k != want {
				t.Errorf("publication %d: %d checks at once, want %d", i, k, want)
			}
		}
		time.Sleep(time.Second)
		for i, want := range []int{itemChecks / 2, itemChecks / 2, 0} {
			if k := admitted(targets[i], 100); k != want {
				t.Errorf("publication %d: %d checks after a second, want %d", i, k, want)
			}
		}
		if d := a.Counters().ItemsDropped; d != total-itemChecksBurst-itemChecks {
			t.Errorf("%d items were dropped", d)
		}
	})
}

// The peers of one torrent are dialed for another, also if that starts only later.
func TestPeersArePassedToTheNextVersion(t *testing.T) {
	for _, later := range []bool{false, true} {
		t.Run(fmt.Sprint("starts later: ", later), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Link{Delay: 20 * ms})
				spec, _ := folder(t, ShareOptions{PieceLength: 16 << 10}, small)
				next, _ := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
				a, b := start(t, n, 1, noDHT), start(t, n, 2, noDHT)
				a.add(spec)
				a.add(next)
				old := b.add(Spec{Link: withPeers(spec, at(1).String()), Dir: t.TempDir()})
				wait(t, old.Done(), time.Minute, "the download of the old version")
				fresh := b.add(Spec{Link: bare(next), Dir: t.TempDir(), Persistent: true, Paused: later})
				time.Sleep(time.Minute)
				if s := fresh.Snapshot(); s.Known != 0 {
					t.Fatalf("the new version knows %d peers already", s.Known)
				}
				old.PassPeers(old) // does nothing
				old.PassPeers(fresh)
				if later {
					if err := fresh.Resume(t.Context()); err != nil {
						t.Fatal(err)
					}
				}
				wait(t, fresh.Done(), 10*time.Second, "the download of the new version")
			})
		})
	}
}

// NextMove ends when packets take another path, and not when only the address of a container has changed.
func TestNextMoveIsAChangeOfThePath(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		paths := newFakePaths(addr(1))
		a := start(t, simnet.New(1, simnet.Link{}), 1, noDHT, paths.watch)
		ended := func(c <-chan struct{}) bool {
			select {
			case <-c:
				return true
			default:
				return false
			}
		}
		first := a.NextMove()
		container := paths.now
		container.Locals = append(slices.Clone(container.Locals), pathsVia("docker0", addr(300)).Locals...)
		paths.change(container)
		if ended(first) {
			t.Error("an address that leads nowhere ended it")
		}
		paths.change(pathsVia("eth0", addr(2)))
		second := a.NextMove()
		if !ended(first) || ended(second) {
			t.Errorf("after a move: ended %v, the next %v", ended(first), ended(second))
		}
	})
}
