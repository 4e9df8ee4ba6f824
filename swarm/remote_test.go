package swarm

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
	"seedbed/swarm/wire"
)

// farStorage is a Remote: pieces come after a delay, and only a few are kept.
type farStorage struct {
	*memStorage
	delay time.Duration
	keep  int

	mu      sync.Mutex
	here    []int // pieces, the newest last
	waiting map[int][]farWaiter
	fetched int64 // bytes
	most    int   // of those who waited at a time
	isAway  bool  // nothing comes
}

type farWaiter struct {
	ready  func(error)
	wanted func() bool
}

func (f *farStorage) Fetch(off, _ int64, ready func(error), wanted func() bool) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	p := int(off / f.info.PieceLength)
	if slices.Contains(f.here, p) {
		return true
	}
	if ready == nil {
		return false
	}
	if f.isAway {
		go ready(storage.ErrAway)
		return false
	}
	if f.waiting[p] == nil {
		time.AfterFunc(f.delay, func() { f.come(p) })
	}
	f.waiting[p] = append(f.waiting[p], farWaiter{ready, wanted})
	n := 0
	for _, w := range f.waiting {
		n += len(w)
	}
	f.most = max(f.most, n)
	return false
}

func (f *farStorage) come(p int) {
	f.mu.Lock()
	list := f.waiting[p]
	delete(f.waiting, p)
	f.fetched += f.info.PieceLength
	f.here = append(f.here, p)
	f.here = f.here[max(0, len(f.here)-f.keep):]
	f.mu.Unlock()
	for _, w := range list {
		w.ready(nil)
	}
}

func (f *farStorage) ReadAt(b []byte, off int64) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.here, int(off/f.info.PieceLength)) {
		return storage.ErrNotLocal
	}
	return f.memStorage.ReadAt(b, off)
}

// startFar starts a seed whose data is elsewhere.
func startFar(t *testing.T, n *simnet.Net, info *metainfo.Info, f *farStorage) *node {
	f.waiting = map[int][]farWaiter{}
	return startNode(t, n, 1, info, f.memStorage, func(c *Config, _ *SharedConfig) {
		c.Open = func(context.Context, *metainfo.Info, func(done, total int64)) (Content, error) {
			return Content{Storage: f, Have: f.verified.Clone()}, nil
		}
	})
}

// Several downloads from data that comes slowly cost each piece once.
func TestUploadsOfDataThatIsElsewhere(t *testing.T) {
	info, full := makeContent(t, 8<<20, 256<<10)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
		f := &farStorage{memStorage: full.copy(), delay: time.Second, keep: 1000}
		seed := startFar(t, n, info, f)
		defer seed.close()
		var leeches []*node
		for i := range 3 {
			l := startNode(t, n, 2+i, info, nil)
			defer l.close()
			l.addPeers(seed)
			leeches = append(leeches, l)
		}
		for _, l := range leeches {
			l.await(Complete, 10*time.Minute)
			l.checkContent(full)
		}
		if f.fetched != info.Length {
			t.Errorf("%d bytes fetched of %d", f.fetched, info.Length)
		}
	})
}

// While the data is out of reach, a download gets all that is here, and the rest when it is back.
func TestUploadsOfDataThatIsAway(t *testing.T) {
	const pieces = 64
	info, full := makeContent(t, pieces*256<<10, 256<<10)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 20 * time.Millisecond})
		f := &farStorage{memStorage: full.copy(), delay: time.Second, keep: 1000, isAway: true}
		for p := 0; p < pieces; p += 2 {
			f.here = append(f.here, p)
		}
		seed := startFar(t, n, info, f)
		defer seed.close()
		l := startNode(t, n, 2, info, nil)
		defer l.close()
		l.addPeers(seed)
		time.Sleep(time.Minute)
		if has := l.Snapshot().HavePieces; has != pieces/2 {
			t.Errorf("%d pieces in a minute, and %d are here", has, pieces/2)
		}
		f.mu.Lock()
		f.isAway = false
		f.mu.Unlock()
		l.await(Complete, time.Minute)
		l.checkContent(full)
	})
}

// attackFar runs a hostile peer against data that is elsewhere until a time has passed.
func attackFar(t *testing.T, f *farStorage, info *metainfo.Info, took time.Duration, run func(nc net.Conn)) (sent int64) {
	t.Helper()
	n := simnet.New(1, simnet.Link{Delay: time.Millisecond})
	seed := startFar(t, n, info, f)
	defer seed.close()
	return attackNode(t, n, seed, took, run)
}

// attackNode runs a hostile peer against a seed until a time has passed.
func attackNode(t *testing.T, n *simnet.Net, seed *node, took time.Duration, run func(nc net.Conn)) (sent int64) {
	t.Helper()
	nc, err := n.Host(netip.MustParseAddr("10.9.9.9")).Dial(t.Context(), seed.addr)
	if err != nil {
		t.Fatal(err)
	}
	var reading sync.WaitGroup
	reading.Go(func() {
		var h [wire.HandshakeLen]byte
		if _, err := io.ReadFull(nc, h[:]); err != nil {
			return
		}
		for {
			var head [4]byte
			if _, err := io.ReadFull(nc, head[:]); err != nil {
				return
			}
			if k := int64(binary.BigEndian.Uint32(head[:])); k > 1<<14 {
				sent += k
			}
			if _, err := io.CopyN(io.Discard, nc, int64(binary.BigEndian.Uint32(head[:]))); err != nil {
				return
			}
		}
	})
	if _, err := nc.Write(interestedHello(seed.cfg.InfoHash, 1)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(20 * time.Second) // until it is unchoked
	reading.Go(func() { run(nc) })
	time.Sleep(took)
	nc.Close()
	reading.Wait()
	return sent
}

// A peer that takes a block of each piece makes us fetch many times what it reads, but not more than that.
func TestCostOfAPeerThatTakesABlockOfEachPiece(t *testing.T) {
	info, full := makeContent(t, 64<<20, 4<<20)
	synctest.Test(t, func(t *testing.T) {
		f := &farStorage{memStorage: full.copy(), delay: 50 * time.Millisecond, keep: 2}
		sent := attackFar(t, f, info, time.Minute, func(nc net.Conn) {
			for i := uint32(0); ; i++ {
				b := wire.Append(nil, wire.Msg{Type: wire.Request, Index: i % 16, Begin: i / 16 << 14, Length: 1 << 14})
				if _, err := nc.Write(b); err != nil {
					return
				}
				time.Sleep(100 * time.Millisecond)
			}
		})
		if most := fetchedFree + fetchedFactor*sent + 2*info.PieceLength; f.fetched > most || sent == 0 {
			t.Errorf("%d KiB sent, %d MiB fetched, at most %d are allowed", sent>>10, f.fetched>>20, most>>20)
		}
	})
}

// A peer does not get more by connecting again and again.
func TestCostOfAPeerThatConnectsAgain(t *testing.T) {
	info, full := makeContent(t, 64<<20, 4<<20)
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: time.Millisecond})
		f := &farStorage{memStorage: full.copy(), delay: 50 * time.Millisecond, keep: 2}
		seed := startFar(t, n, info, f)
		defer seed.close()
		sent := int64(0)
		for i := range uint32(40) {
			sent += attackNode(t, n, seed, time.Second, func(nc net.Conn) { request(nc, i%16, 1) })
		}
		if most := fetchedFree + fetchedFactor*sent + 2*info.PieceLength; f.fetched > most || sent == 0 {
			t.Errorf("%d KiB sent, %d MiB fetched, at most %d are allowed", sent>>10, f.fetched>>20, most>>20)
		}
	})
}

// A peer that requests and cancels without reading costs little, and nothing grows.
func TestCostOfRequestsThatAreCancelled(t *testing.T) {
	info, full := makeContent(t, 64<<20, 1<<20)
	for _, pieces := range []uint32{2, 64} {
		synctest.Test(t, func(t *testing.T) {
			f := &farStorage{memStorage: full.copy(), delay: 20 * time.Second, keep: 1}
			sent := attackFar(t, f, info, 2*time.Minute, func(nc net.Conn) {
				for i := uint32(0); ; i++ {
					for _, kind := range []wire.Type{wire.Request, wire.Cancel} {
						var b []byte
						for k := range uint32(10) {
							b = wire.Append(b, wire.Msg{Type: kind, Index: (i + k) % pieces, Length: 1 << 14})
						}
						if _, err := nc.Write(b); err != nil {
							return
						}
						time.Sleep(20 * time.Millisecond)
					}
				}
			})
			if most := fetchedFree + fetchedFactor*sent + 2*info.PieceLength; f.fetched > most || f.most > int(pieces) {
				t.Errorf("%d pieces: %d KiB sent, %d MiB fetched, at most %d are allowed, %d waited at a time", pieces, sent>>10, f.fetched>>20, most>>20, f.most)
			}
		})
	}
}
