package swarm

import (
	"context"
	"errors"
	"io"
	"net/netip"
	"sync"
	"testing"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/buf"
	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// We dial; the other side accepts, but stays silent or answers wrongly.
func TestFailingOutgoingHandshake(t *testing.T) {
	info, _ := makeContent(t, 1<<20, 256<<10)
	other := wire.AppendHandshake(nil, wire.Reserved{}, id.ID{1, 2, 3}, id.ID{4})
	for name, c := range map[string]struct {
		answer []byte
		after  time.Duration
		policy Encryption
	}{
		"silence":         {nil, HandshakeTimeout, NoEncryption},
		"half of it":      {other[:40], HandshakeTimeout, PreferPlain},
		"another torrent": {other, 0, PreferPlain},
		"another protocol": {[]byte("HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 0\r\n\r\n" +
			"                                        "), 0, PreferPlain},
	} {
		t.Run(name, func(t *testing.T) {
			sim(t, func(t *testing.T, n *simnet.Net) {
				nd := startNode(t, n, 1, info, nil, encryption(c.policy))
				defer nd.close()
				l, err := n.Host(netip.AddrFrom4([4]byte{10, 9, 0, 1})).Listen(6881)
				if err != nil {
					t.Fatal(err)
				}
				defer l.Close()
				nd.AddCandidates([]engine.Candidate{{Addr: l.Addrs()[0], Source: engine.FromDHT}})
				nc, err := l.Accept(context.Background())
				if err != nil {
					t.Fatal(err)
				}
				defer nc.Close()
				start := time.Now()
				nc.Write(c.answer)
				io.Copy(io.Discard, nc)
				if d := time.Since(start); d < c.after || d > c.after+100*time.Millisecond {
					t.Errorf("gave up after %v", d)
				}
				time.Sleep(time.Second)
				if s := nd.Snapshot(); s.Dialing != 0 || s.Connected != 0 || s.Tried != 1 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// A block that arrived while its slot was freed and reused is not taken for the slot's
// new content.
func TestBlockOfAReusedSlotIsUnwanted(t *testing.T) {
	pool := buf.NewPool(1 << 20)
	defer pool.Close()
	old, fresh := pool.Get(1), pool.Get(1)
	tt := &Torrent{slots: []*buf.Buffer{fresh}}
	for _, c := range []struct {
		in   *buf.Buffer
		want engine.BlockEventKind
	}{{old, engine.BlockUnwanted}, {fresh, engine.BlockArrived}} {
		it := item{block: engine.BlockEvent{Kind: engine.BlockArrived, Slot: 0}, buffer: c.in}
		if tt.checkSlot(&it); it.block.Kind != c.want {
			t.Errorf("event %d, not %d", it.block.Kind, c.want)
		}
	}
}

func TestFailedFlushPausesUntilItWorks(t *testing.T) {
	info, full := makeContent(t, 4<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		seed := startNode(t, n, 1, info, full)
		defer seed.close()
		leech := startNode(t, n, 2, info, nil)
		defer leech.close()
		leech.addPeers(seed)
		leech.await(Complete, time.Minute)
		leech.store.breakFlush(errors.New("input/output error"))
		start := time.Now()
		leech.await(Paused, time.Minute)
		if d := time.Since(start); d > flushEvery {
			t.Errorf("a failed flush was reported after %v", d)
		}
		time.Sleep(time.Minute)
		leech.store.breakFlush(nil)
		leech.await(Resumed, time.Minute)
		time.Sleep(flushEvery + time.Second)
		leech.store.mu.Lock()
		defer leech.store.mu.Unlock()
		if leech.store.flushes == 0 {
			t.Error("the failed flush was not repeated")
		}
	})
}

// A failure that occurs while the previous one is being reported as over is not lost.
func TestStorageFailsAgainDuringRecovery(t *testing.T) {
	info, full := makeContent(t, 1<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		nd := startNode(t, n, 1, info, full)
		defer nd.close()
		nd.await(Complete, time.Minute)
		nd.storageFailed(errors.New("first"))
		nd.inbox.post(item{fn: func() { // blocks the loop while the recovery succeeds
			time.Sleep(time.Minute)
			nd.storageFailed(errors.New("second"))
		}})
		time.Sleep(2 * time.Minute)
		if s := nd.Snapshot(); s.State != Seeding || s.Paused || s.Err != nil {
			t.Errorf("%+v", s)
		}
		nd.mu.Lock()
		defer nd.mu.Unlock()
		paused, resumed := 0, 0
		for _, ev := range nd.events {
			switch ev.Kind {
			case Paused:
				paused++
			case Resumed:
				resumed++
			}
		}
		if paused != 2 || resumed != 2 {
			t.Errorf("paused %d times, resumed %d", paused, resumed)
		}
	})
}

// Stop returns when its context ends; shutdown continues in the background.
func TestStopWithAHangingStorage(t *testing.T) {
	info, full := makeContent(t, 1<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		release := make(chan struct{})
		nd := startNode(t, n, 1, info, full, func(c *Config, _ *SharedConfig) {
			open := c.Open
			c.Open = func(ctx context.Context, info *metainfo.Info, p func(int64, int64)) (Content, error) {
				p(5, 10)
				<-release
				return open(ctx, info, p)
			}
		})
		time.Sleep(time.Second)
		if s := nd.Snapshot(); s.State != Checking || s.Checked != 5 || s.ToCheck != 10 {
			t.Errorf("%+v", s)
		}
		ctx, cancel := context.WithTimeout(context.Background(), 3*time.Second)
		defer cancel()
		if err := nd.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Error(err)
		}
		close(release)
		nd.close()
		select {
		case <-nd.Done():
		default:
			t.Error("not done")
		}
		if !full.closed {
			t.Error("storage was not closed")
		}
	})
}

// Constant changes of selection and limits lose no data and stall nothing.
func TestSelectionAndLimitsChangeInFlight(t *testing.T) {
	for name, piece := range map[string]int64{"pieces of one chunk": 128 << 10, "pieces of four chunks": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			info, full := makeContent(t, 12<<20, piece)
			sim(t, func(t *testing.T, n *simnet.Net) {
				n.SetLink(netip.AddrFrom4([4]byte{10, 0, 0, 1}), netip.AddrFrom4([4]byte{10, 0, 0, 2}), simnet.Link{Delay: 10 * time.Millisecond, Rate: 3 << 20})
				seed := startNode(t, n, 1, info, full)
				defer seed.close()
				leech := startNode(t, n, 2, info, nil)
				defer leech.close()
				leech.addPeers(seed)
				leech.await(Opened, time.Minute)
				all := info.Wanted(nil)
				for i := range 60 {
					some := all.Clone()
					some.Clear()
					for p := i % 3; p < some.Len(); p += 3 {
						some.Add(p)
					}
					leech.SetWanted(some, bitset.Set{})
					leech.SetLimits(1+i%8, 8, 50, false)
					leech.SetExternal(netip.MustParseAddr("192.0.2.1"))
					time.Sleep(37 * time.Millisecond)
				}
				leech.SetLimits(8, 8, 50, false)
				leech.SetWanted(all, bitset.Set{})
				time.Sleep(2 * time.Minute)
				if s := leech.Snapshot(); s.HavePieces != s.Pieces || s.State != Seeding {
					t.Fatalf("%+v", s)
				}
				leech.checkContent(full)
			})
		})
	}
}

// Many peers over links with loss and jitter, one of which is cut every second.
func TestChurn(t *testing.T) {
	info, full := makeContent(t, 6<<20, 256<<10)
	sim(t, func(t *testing.T, _ *simnet.Net) {
		n := simnet.New(3, simnet.Link{Delay: 30 * time.Millisecond, Jitter: 20 * time.Millisecond, Loss: 0.01, Rate: 2 << 20})
		nodes := []*node{startNode(t, n, 1, info, full)}
		for i := range 8 {
			nodes = append(nodes, startNode(t, n, 2+i, info, nil))
		}
		for i, nd := range nodes {
			defer nd.close()
			nd.addPeers(nodes[:i]...)
			nd.addPeers(nodes[i+1:]...)
		}
		var wg sync.WaitGroup
		quit := make(chan struct{})
		wg.Go(func() {
			for i := 1; ; i++ {
				select {
				case <-quit:
					return
				case <-time.After(time.Second):
				}
				nodes[1+i%8].host.ResetOne()
			}
		})
		for _, nd := range nodes[1:] {
			nd.await(Complete, 10*time.Minute)
			nd.checkContent(full)
		}
		close(quit)
		wg.Wait()
	})
}
