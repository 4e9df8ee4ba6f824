package node

import (
	"context"
	"errors"
	"net/netip"
	"os"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm/storage"
)

// If two nodes share one state directory, one of them runs a torrent, and the second
// has its own node id.
func TestTwoNodesWithOneStateDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(7, simnet.Link{Delay: 20 * ms})
		ring(t, n, 4)
		spec, _ := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, boot(100))
		b := start(t, n, 2, boot(100), state(a.state))
		time.Sleep(10 * time.Second)
		a.add(spec)
		if _, err := b.Add(spec); !errors.Is(err, ErrLocked) {
			t.Errorf("a torrent was opened twice: %v", err)
		}
		if _, err := a.Add(spec); !errors.Is(err, ErrDuplicate) {
			t.Errorf("a torrent was added twice: %v", err)
		}
		if !a.Node.state.owned() || b.Node.state.owned() {
			t.Error("the first must own the node file, and the second not")
		}
		own := a.dht.ID(false)
		if b.dht.ID(false) == own {
			t.Error("two nodes with one id")
		}
		a.close()
		saved, err := os.ReadFile(filepath.Join(a.state, "node.json"))
		if err != nil {
			t.Fatal(err)
		}
		b.add(Spec{Link: bare(spec), Dir: t.TempDir()}) // the first node has released the lock
		b.close()
		if now, err := os.ReadFile(filepath.Join(a.state, "node.json")); err != nil || string(now) != string(saved) {
			t.Errorf("the second wrote the node file: %v", err)
		}
		// The next node has the identity of the first, without a bootstrap host.
		c := start(t, n, 1, state(a.state))
		time.Sleep(10 * time.Second)
		if c.dht.ID(false) != own || c.DHTNodes() == 0 {
			t.Errorf("the saved node was not used: %d nodes", c.DHTNodes())
		}
	})
}

// Peers that hang, dials that hang and a running lookup do not delay Close.
func TestCloseDoesNotWaitForPeersAndSaves(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(8, simnet.Link{Delay: 20 * ms, Rate: 200e3})
		spec, dir := folder(t, ShareOptions{PieceLength: 32 << 10}, small)
		a := start(t, n, 1, noDHT)
		a.add(spec)
		hints := []string{at(1).String(), at(900).String(), at(901).String(), "silent.example:6881"}
		for i := range 8 { // they accept connections and send nothing
			h := n.Host(addr(50 + i))
			l, err := h.Listen(DefaultPort)
			if err != nil {
				t.Fatal(err)
			}
			defer l.Close()
			hints = append(hints, at(50+i).String())
		}
		b := start(t, n, 2, boot(902, 903), resolver(nil))
		to := t.TempDir()
		got := b.add(Spec{Link: withPeers(spec, hints...), Dir: to})
		b.await(FirstPiece, time.Minute)
		time.Sleep(time.Second)
		s := got.Snapshot()
		if s.HavePieces == 0 || s.Complete || s.Dialing == 0 {
			t.Fatalf("%+v", s)
		}
		began := time.Now()
		b.close()
		if took := time.Since(began); took > 2*time.Second {
			t.Errorf("closing took %v", took)
		}
		if err := b.Close(t.Context()); err != nil {
			t.Error("closed twice:", err)
		}
		if _, err := b.Add(spec); err == nil {
			t.Error("a closed node accepted a torrent")
		}

		// Again, without peers: the metadata is known and pieces are proven.
		b = start(t, n, 2, state(b.state), noDHT)
		got = b.add(Spec{Link: bare(spec), Dir: to})
		b.await(Metadata, time.Second)
		time.Sleep(time.Second)
		if now := got.Snapshot(); now.HavePieces < s.HavePieces || now.ToCheck != 0 || now.State != lifecycle.Downloading {
			t.Errorf("%d pieces before, then %d; %d bytes to check", s.HavePieces, now.HavePieces, now.ToCheck)
		}
		// The peer of the last run is remembered, so the download completes.
		wait(t, got.Done(), time.Minute, "the rest of the download")
		filetest.Same(t, dir, to+"/things")
		b.close()
		a.close()

		b = start(t, n, 2, state(b.state), noDHT)
		got = b.add(Spec{Link: bare(spec), Dir: to})
		wait(t, got.Done(), time.Second, "a complete torrent is complete without a network")
		if now := got.Snapshot(); now.ToCheck != 0 {
			t.Errorf("%d bytes were checked again", now.ToCheck)
		}
	})
}

// Close returns at its deadline, and the rest is done in the background.
func TestCloseReturnsWhenItsContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(9, simnet.Link{Delay: 20 * ms})
		hangs, release := make(chan struct{}), make(chan struct{})
		b := start(t, n, 2, noDHT)
		spec, _ := folder(t, ShareOptions{}, small)
		spec.Prepare = func(*metainfo.Info) error {
			close(hangs)
			<-release // like a disk that hangs
			return nil
		}
		b.add(spec)
		<-hangs
		ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
		defer cancel()
		began := time.Now()
		if err := b.Close(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(began) != 3*time.Second {
			t.Errorf("after %v: %v", time.Since(began), err)
		}
		close(release)
		if err := b.Close(t.Context()); err != nil {
			t.Error(err)
		}
	})
}

// A crash loses only a few minutes of what was learned.
func TestKnownPeersAndNodesAreSavedAtIntervals(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(10, simnet.Link{Delay: 20 * ms})
		ring(t, n, 4)
		spec, _ := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, boot(100))
		wait(t, a.add(spec).Announced(), time.Minute, "the seed is announced")
		b := start(t, n, 2, boot(101))
		got := b.add(Spec{Link: bare(spec), Dir: t.TempDir()})
		wait(t, got.Done(), time.Minute, "the download")
		time.Sleep(saveEvery + time.Second)
		if f := b.Node.state.loadNode(); len(f.Nodes) == 0 || f.ID4 == "" {
			t.Errorf("saved nodes: %+v", f)
		}
		k := newKnownPeers()
		saved, err := os.ReadFile(got.state.peersPath())
		k.decode(saved, time.Now())
		if as := k.candidates(); err != nil || len(as) != 1 || as[0].Addr != at(1) {
			t.Errorf("known peers %v, %v", as, err)
		}
	})
}

func TestABanRemovesEveryPortOfTheAddress(t *testing.T) {
	k := newKnownPeers()
	for _, a := range []string{"10.0.0.1:1", "10.0.0.1:2", "10.0.0.2:1"} {
		k.add(netip.MustParseAddrPort(a), false, time.Now())
	}
	k.ban(netip.MustParseAddrPort("10.0.0.1:0"))
	k.ban(netip.MustParseAddrPort("10.0.0.2:7"))
	if as := k.candidates(); len(as) != 1 || as[0].Addr != netip.MustParseAddrPort("10.0.0.2:1") {
		t.Error(as)
	}
}

// While the files of a torrent are opened after a restart, it shows what it had before.
func TestATorrentShowsItsSizeWhileItsFilesAreOpened(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(73, simnet.Link{Delay: ms})
		spec, _ := folder(t, ShareOptions{}, small)
		a := start(t, n, 1, noDHT)
		x := a.add(inSession(spec))
		awaitComplete(t, x)
		had := x.Snapshot()
		a.close()
		d := newDisks()
		handles := storage.NewHandles(8)
		release := d.hang(spec.Dir)
		a = start(t, n, 1, noDHT, state(a.state), func(c *Config) {
			c.openDisk = func(dir string, create bool) (storage.Disk, error) {
				d.wait(dir)
				return storage.SystemDisk(dir, create, handles)
			}
		})
		go a.Restore(t.Context())
		time.Sleep(time.Second)
		x = a.torrentOf(spec)
		s := x.Snapshot()
		if s.State != lifecycle.Checking || !s.Metadata || s.Size != had.Size || s.Wanted != had.Wanted || s.HaveWanted != had.HaveWanted || s.Pieces != had.Pieces || s.HavePieces != had.HavePieces || s.Complete {
			t.Errorf("it shows %v with %+v, not %+v", s.State, s.Stats, had.Stats)
		}
		release()
		awaitComplete(t, x)
	})
}
