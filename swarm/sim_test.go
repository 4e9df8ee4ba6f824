package swarm

import (
	"bytes"
	"context"
	"fmt"
	"net/netip"
	"os"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
)

func TestMain(m *testing.M) {
	if arg := os.Getenv(rawEnv); arg != "" {
		runRawSeed(arg)
		return
	}
	goleak.VerifyTestMain(m)
}

// node is a torrent on a host of the simulated network.
type node struct {
	*Torrent
	test    testing.TB
	shared  *Shared
	host    *simnet.Host
	addr    netip.AddrPort
	store   *memStorage
	mayFail bool // its storage may fail at the end
	close   func()

	mu     sync.Mutex
	events []Event
	at     []time.Time
}

type option func(*Config, *SharedConfig)

// startNode runs a torrent on a separate host. Without have it starts from the infohash
// only.
func startNode(t testing.TB, n *simnet.Net, num int, info *metainfo.Info, have *memStorage, opts ...option) *node {
	t.Helper()
	nd := &node{test: t, host: n.Host(netip.AddrFrom4([4]byte{10, 0, byte(num >> 8), byte(num)}))}
	l, err := nd.host.Listen(6881)
	if err != nil {
		t.Fatal(err)
	}
	nd.addr = l.Addrs()[0]
	sc := SharedConfig{Memory: 2 << 20, ChunkSize: 256 << 10, Workers: 2}
	cfg := Config{
		InfoHash: info.Hash, PeerID: id.ID{byte(num >> 8), byte(num), 1}, Dialer: nd.host, Ports: addrs.Ports{V4: 6881, V6: 6881},
		Version: "test", Budget: 8, HalfOpen: 8, MaxConns: 50, Uploads: 4, Seed: uint64(num),
	}
	if have != nil {
		cfg.Info = info
	}
	cfg.Open = func(_ context.Context, info *metainfo.Info, _ func(done, total int64)) (Content, error) {
		if have == nil {
			have = newMem(info)
		}
		nd.mu.Lock()
		nd.store = have
		nd.mu.Unlock()
		return Content{Storage: have, Have: have.verified.Clone()}, nil
	}
	cfg.OnEvent = func(ev Event) {
		nd.mu.Lock()
		defer nd.mu.Unlock()
		nd.events, nd.at = append(nd.events, ev), append(nd.at, time.Now())
	}
	for _, o := range opts {
		o(&cfg, &sc)
	}
	nd.shared = NewShared(sc)
	cfg.Shared = nd.shared
	nd.Torrent = New(cfg)
	ctx, cancel := context.WithCancel(context.Background())
	accepting := make(chan struct{})
	go func() {
		defer close(accepting)
		var wg sync.WaitGroup
		defer wg.Wait()
		for {
			nc, err := l.Accept(ctx)
			if err != nil {
				return
			}
			wg.Go(func() {
				h, err := ReadHello(nc, cfg.Encryption, func(k [20]byte) (id.ID, bool) { return info.Hash, k == KeyHash(info.Hash) })
				if _, ours := nd.byInfohash(h.InfoHash); err != nil || !ours {
					nc.Close()
					return
				}
				nd.Incoming(h)
			})
		}
	}()
	var once sync.Once
	nd.close = func() {
		once.Do(func() {
			cancel()
			l.Close()
			<-accepting
			if err := nd.Stop(context.Background()); err != nil && !nd.mayFail {
				t.Error("stop:", err)
			}
			if out, _ := nd.shared.pool.Held(); out != 0 {
				t.Errorf("%d buffers were not released", out)
			}
			nd.shared.Close()
		})
	}
	return nd
}

func (nd *node) addPeers(others ...*node) {
	for _, o := range others {
		nd.AddCandidates([]engine.Candidate{{Addr: o.addr, Source: engine.FromDHT}})
	}
}

// eventTime returns when the first event of this kind occurred.
func (nd *node) eventTime(k EventKind) (time.Time, bool) {
	nd.mu.Lock()
	defer nd.mu.Unlock()
	for i, ev := range nd.events {
		if ev.Kind == k {
			return nd.at[i], true
		}
	}
	return time.Time{}, false
}

// await waits, in fake time, for an event.
func (nd *node) await(k EventKind, limit time.Duration) time.Time {
	nd.test.Helper()
	for end := time.Now().Add(limit); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if at, ok := nd.eventTime(k); ok {
			return at
		}
	}
	nd.test.Fatalf("no event %d within %v; %+v", k, limit, nd.Snapshot())
	return time.Time{}
}

func (nd *node) checkContent(want *memStorage) {
	nd.test.Helper()
	if !bytes.Equal(nd.store.data, want.data) {
		nd.test.Error("the download differs from the original")
	}
	if !nd.store.finished {
		nd.test.Error("the files do not have their final names")
	}
}

// Two shells exchange metadata and pieces, starting from the infohash only: pieces of one
// chunk and of several, a short last one, and more than memory holds.
func TestTwoTorrentsExchangeFromTheBareInfohash(t *testing.T) {
	for _, c := range []struct{ size, piece int64 }{
		{5 << 20, 64 << 10}, {5<<20 + 12345, 256 << 10}, {9<<20 + 1, 1 << 20}, {1, 16 << 10}, {6 << 20, 4 << 20},
	} {
		t.Run(fmt.Sprintf("%d bytes in pieces of %d", c.size, c.piece), func(t *testing.T) {
			info, full := makeContent(t, c.size, c.piece)
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
				seed := startNode(t, n, 1, info, full)
				defer seed.close()
				leech := startNode(t, n, 2, info, nil)
				defer leech.close()
				leech.addPeers(seed)
				leech.await(Complete, time.Minute)
				leech.checkContent(full)
				if s := leech.Snapshot(); s.State != Seeding || s.Have != c.size || s.Wasted != 0 {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}
