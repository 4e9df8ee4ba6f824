package swarm

import (
	"context"
	"errors"
	"io"
	"net"
	"net/netip"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// sim runs f in fake time over a network with 10 ms delay.
func sim(t *testing.T, f func(t *testing.T, n *simnet.Net)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		f(t, simnet.New(7, simnet.Link{Delay: 10 * time.Millisecond}))
	})
}

func TestOneSeedFourLeechers(t *testing.T) {
	info, full := makeContent(t, 8<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		nodes := []*node{startNode(t, n, 1, info, full)}
		for i := range 4 {
			nodes = append(nodes, startNode(t, n, 2+i, info, nil))
		}
		for i, nd := range nodes {
			defer nd.close()
			nd.addPeers(nodes[:i]...)
		}
		for _, nd := range nodes[1:] {
			nd.await(Complete, 5*time.Minute)
			nd.checkContent(full)
		}
	})
}

// A torrent counts as complete only when its files have their final names: a program that asks for the
// state takes them then. Renaming may take long, in a download as well as at the start.
func TestNothingIsCompleteWithoutItsFinalNames(t *testing.T) {
	info, full := makeContent(t, 2<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		seed := startNode(t, n, 1, info, full.copy())
		defer seed.close()
		for i, c := range []struct {
			have    *memStorage
			renames State // while its files get their names
		}{{newMem(info), Downloading}, {full.copy(), Checking}} {
			renaming := make(chan struct{})
			c.have.renaming = renaming
			nd := startNode(t, n, 2+i, info, c.have)
			defer nd.close()
			nd.addPeers(seed)
			time.Sleep(time.Minute)
			if s := nd.Snapshot(); !s.Verified || s.Complete || s.State != c.renames {
				t.Errorf("%d without names: verified %v, complete %v, %v", i, s.Verified, s.Complete, s.State)
			}
			close(renaming)
			synctest.Wait()
			if s := nd.Snapshot(); !s.Complete || s.State != Seeding {
				t.Errorf("%d with names: complete %v, %v", i, s.Complete, s.State)
			}
		}
	})
}

func TestIncompleteHandshakeTimesOut(t *testing.T) {
	info, full := makeContent(t, 1<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		// It dials us and sends nothing, or only a part.
		nd := startNode(t, n, 1, info, full)
		defer nd.close()
		hello := wire.AppendHandshake(nil, wire.Reserved{}, info.Hash, id.ID{1, 2, 3})
		var wg sync.WaitGroup
		for i, say := range []int{0, 1, 47, 48, 67} {
			wg.Go(func() {
				nc, err := n.Host(netip.AddrFrom4([4]byte{10, 9, 0, byte(i)})).Dial(context.Background(), nd.addr)
				if err != nil {
					t.Error(err)
					return
				}
				defer nc.Close()
				start := time.Now()
				nc.Write(hello[:say])
				io.Copy(io.Discard, nc)
				if d := time.Since(start); d < HandshakeTimeout || d > HandshakeTimeout+100*time.Millisecond {
					t.Errorf("after %d bytes of a handshake we waited for %v", say, d)
				}
			})
		}
		wg.Wait()
	})
}

func TestUnknownInfohashIsRejectedAtOnce(t *testing.T) {
	info, full := makeContent(t, 1<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		nd := startNode(t, n, 1, info, full, encryption(NoEncryption))
		defer nd.close()
		nc, err := n.Host(netip.AddrFrom4([4]byte{10, 9, 0, 1})).Dial(context.Background(), nd.addr)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		start := time.Now()
		nc.Write([]byte("GET / HTTP/1.1\r\n"))
		io.Copy(io.Discard, nc)
		if d := time.Since(start); d > time.Second {
			t.Errorf("it took %v", d)
		}
	})
}

// recorder records the faults of dials.
type recorder struct {
	*simnet.Host
	mu    sync.Mutex
	ended map[netip.AddrPort]time.Time
}

func (r *recorder) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	nc, err := r.Host.Dial(ctx, to)
	r.mu.Lock()
	defer r.mu.Unlock()
	if err != nil {
		r.ended[to] = time.Now()
	}
	return nc, err
}

func TestDialTimesOut(t *testing.T) {
	info, _ := makeContent(t, 1<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		var r *recorder
		nd := startNode(t, n, 1, info, nil, func(c *Config, _ *SharedConfig) {
			r = &recorder{Host: c.Dialer.(*simnet.Host), ended: map[netip.AddrPort]time.Time{}}
			c.Dialer = r
		})
		defer nd.close()
		start := time.Now()
		nowhere := netip.MustParseAddrPort("10.200.0.1:6881")
		nd.AddCandidates([]engine.Candidate{{Addr: nowhere, Source: engine.FromDHT}})
		time.Sleep(DialTimeout + time.Second)
		r.mu.Lock()
		defer r.mu.Unlock()
		if d := r.ended[nowhere].Sub(start); d < DialTimeout || d > DialTimeout+50*time.Millisecond {
			t.Errorf("gave up after %v", d)
		}
	})
}

// BEP 3: keepalives "are generally sent once every two minutes"; a peer that sends
// nothing for twice that time is disconnected.
func TestKeepAliveAndSilence(t *testing.T) {
	info, _ := makeContent(t, 1<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		nd := startNode(t, n, 1, info, newMem(info))
		defer nd.close()
		s := dialScript(t, n, 1, nd, info.Hash, false)
		defer s.nc.Close()
		start := time.Now()
		_, at := s.until(wire.KeepAlive)
		if d := at.Sub(start); d < 100*time.Second || d > 2*time.Minute {
			t.Errorf("the first keep-alive arrived after %v", d)
		}
		if d := s.end().Sub(start); d < 4*time.Minute || d > 4*time.Minute+2*time.Second {
			t.Errorf("a silent peer was disconnected after %v", d)
		}
	})
}

// A peer falls silent after half a block. The block is fetched elsewhere, and nothing
// waits for the silent peer longer than a snub takes.
func TestPeerFallsSilentInTheMiddleOfABlock(t *testing.T) {
	info, full := makeContent(t, 1<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		nd := startNode(t, n, 1, info, newMem(info))
		defer nd.close()
		s := dialScript(t, n, 1, nd, info.Hash, false)
		defer s.nc.Close()
		s.send(haveAll(info.NumPieces(), false), wire.Msg{Type: wire.Unchoke})
		q, _ := s.until(wire.Request)
		b := wire.Append(nil, wire.Msg{Type: wire.Piece, Index: q.Index, Begin: q.Begin, Payload: make([]byte, q.Length)})
		s.write(b[:len(b)/2])
		time.Sleep(time.Second)
		start := time.Now()
		good := dialScript(t, n, 2, nd, info.Hash, false)
		defer good.nc.Close()
		go good.serve(full, nil)
		if d := nd.await(Complete, 3*time.Minute).Sub(start); d > 65*time.Second {
			t.Errorf("complete after %v", d)
		}
		nd.checkContent(full)
	})
}

func TestResetInTheMiddleOfAPiece(t *testing.T) {
	info, full := makeContent(t, 2<<20, 512<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		nd := startNode(t, n, 1, info, newMem(info))
		defer nd.close()
		for i := range byte(3) {
			s := dialScript(t, n, 1+i, nd, info.Hash, false)
			left := 20
			s.serve(full, func(wire.Msg, []byte) bool {
				if left--; left == 0 {
					s.nc.(interface{ Reset() }).Reset()
				}
				return left > 0
			})
		}
		s := dialScript(t, n, 9, nd, info.Hash, false)
		defer s.nc.Close()
		go s.serve(full, nil)
		nd.await(Complete, time.Minute)
		nd.checkContent(full)
		if s := nd.Snapshot(); s.Downloaded > info.Length+(1<<20) {
			t.Errorf("%d bytes were downloaded for %d", s.Downloaded, info.Length)
		}
	})
}

// A peer that sends a bad block is identified by that block and banned; the honest one is
// not.
func TestLiarIsBannedAndTheDownloadCompletes(t *testing.T) {
	for name, piece := range map[string]int64{"pieces of one chunk": 256 << 10, "pieces of four chunks": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			info, full := makeContent(t, 4<<20, piece)
			sim(t, func(t *testing.T, n *simnet.Net) {
				nd := startNode(t, n, 1, info, newMem(info))
				defer nd.close()
				liar := dialScript(t, n, 66, nd, info.Hash, false)
				defer liar.nc.Close()
				honest := dialScript(t, n, 2, nd, info.Hash, false)
				defer honest.nc.Close()
				go liar.serve(full, func(q wire.Msg, b []byte) bool { b[5] ^= 1; return true })
				go honest.serve(full, func(wire.Msg, []byte) bool { time.Sleep(5 * time.Millisecond); return true })
				nd.await(Complete, 5*time.Minute)
				nd.checkContent(full)
				nd.mu.Lock()
				defer nd.mu.Unlock()
				banned := map[byte]bool{}
				for _, ev := range nd.events {
					if ev.Kind == Ban {
						banned[ev.Addr.Addr().As4()[3]] = true
					}
				}
				if !banned[66] || banned[2] {
					t.Errorf("banned: %v", banned)
				}
			})
		})
	}
}

// A peer that requests but does not read is disconnected when its answers pile up.
func TestPeerThatNeverReadsIsDisconnected(t *testing.T) {
	info, full := makeContent(t, 1<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		nd := startNode(t, n, 1, info, full)
		defer nd.close()
		s := dialScript(t, n, 1, nd, info.Hash, true)
		defer s.nc.Close()
		s.send(wire.Msg{Type: wire.HaveNone})
		var many []byte
		for range 1000 { // each causes a reject, because we choke it
			many = wire.Append(many, wire.Msg{Type: wire.Request, Index: 1, Length: 16 << 10})
		}
		cut := false
		for range 200 {
			if _, err := s.nc.Write(many); err != nil {
				cut = true
				break
			}
			time.Sleep(time.Millisecond)
		}
		if !cut {
			t.Error("the peer was not disconnected")
		}
		time.Sleep(time.Second)
		if s := nd.Snapshot(); s.Connected != 0 {
			t.Errorf("%+v", s)
		}
	})
}

// A block that was not requested is discarded and counted.
func TestUnrequestedPayloadIsDiscarded(t *testing.T) {
	info, _ := makeContent(t, 1<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		nd := startNode(t, n, 1, info, newMem(info))
		defer nd.close()
		s := dialScript(t, n, 1, nd, info.Hash, false)
		defer s.nc.Close()
		s.send(
			wire.Msg{Type: wire.Piece, Index: 1, Begin: 0, Payload: make([]byte, 16<<10)},
			wire.Msg{Type: wire.Piece, Index: 9999999, Begin: 7, Payload: make([]byte, wire.MaxBlock)},
			wire.Msg{Type: wire.Have, Index: 1},
		)
		time.Sleep(time.Second)
		if s := nd.Snapshot(); s.Wasted != 16<<10+wire.MaxBlock || s.Connected != 1 {
			t.Errorf("%+v", s)
		}
	})
}

func TestFullDiskPausesAndLosesNothing(t *testing.T) {
	for name, piece := range map[string]int64{"pieces of one chunk": 256 << 10, "pieces of four chunks": 1 << 20} {
		t.Run(name, func(t *testing.T) {
			info, full := makeContent(t, 8<<20, piece)
			sim(t, func(t *testing.T, n *simnet.Net) {
				n.SetLink(netip.AddrFrom4([4]byte{10, 0, 0, 1}), netip.AddrFrom4([4]byte{10, 0, 0, 2}), simnet.Link{Delay: 10 * time.Millisecond, Rate: 4 << 20})
				seed := startNode(t, n, 1, info, full)
				defer seed.close()
				leech := startNode(t, n, 2, info, nil)
				defer leech.close()
				leech.addPeers(seed)
				leech.await(FirstPiece, time.Minute)
				had := leech.Snapshot().HavePieces
				leech.store.breakWrites(errors.New("no space left on device"))
				leech.await(Paused, time.Minute)
				// It stays connected and quiet for as long as the failure lasts.
				time.Sleep(10 * time.Minute)
				s := leech.Snapshot()
				if s.State != Stalled || s.Err == nil || s.Connected != 1 || s.HavePieces < had {
					t.Fatalf("%+v", s)
				}
				leech.store.breakWrites(nil)
				start := time.Now()
				if d := leech.await(Resumed, time.Minute).Sub(start); d > retryLongest {
					t.Errorf("it resumed after %v", d)
				}
				leech.await(Complete, time.Minute)
				leech.checkContent(full)
			})
		})
	}
}

// A seed whose data cannot be read keeps its peers, rejects what it cannot serve, and
// resumes after the failure.
func TestUploadThatCannotBeRead(t *testing.T) {
	info, full := makeContent(t, 4<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		seed := startNode(t, n, 1, info, full)
		defer seed.close()
		full.mu.Lock()
		full.failRead = errors.New("input/output error")
		full.mu.Unlock()
		leech := startNode(t, n, 2, info, nil)
		defer leech.close()
		leech.addPeers(seed)
		seed.await(Paused, time.Minute)
		time.Sleep(time.Minute)
		full.mu.Lock()
		full.failRead = nil
		full.mu.Unlock()
		seed.await(Resumed, time.Minute)
		leech.await(Complete, 5*time.Minute)
		leech.checkContent(full)
	})
}

func TestOpeningStorageIsRetried(t *testing.T) {
	info, full := makeContent(t, 1<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		var tries []time.Time
		nd := startNode(t, n, 1, info, full, func(c *Config, _ *SharedConfig) {
			open := c.Open
			c.Open = func(ctx context.Context, info *metainfo.Info, p func(int64, int64)) (Content, error) {
				if tries = append(tries, time.Now()); len(tries) < 9 {
					return Content{}, errors.New("permission denied")
				}
				return open(ctx, info, p)
			}
		})
		defer nd.close()
		nd.await(Paused, time.Second)
		if s := nd.Snapshot(); s.State != Stalled || s.Err.Error() != "permission denied" {
			t.Errorf("%+v", s)
		}
		nd.await(Opened, 10*time.Minute)
		for i, want := range []time.Duration{1, 2, 4, 8, 16, 30, 30, 30} {
			if d := tries[i+1].Sub(tries[i]); d != want*time.Second {
				t.Errorf("attempt %d was made after %v", i+1, d)
			}
		}
		synctest.Wait() // the state follows the event
		if s := nd.Snapshot(); s.State != Seeding || s.Err != nil {
			t.Errorf("%+v", s)
		}
	})
}

func TestStopInTheMiddleOfATransfer(t *testing.T) {
	for _, after := range []time.Duration{0, 5, 60, 100, 200, 400} {
		info, full := makeContent(t, 16<<20, 256<<10)
		sim(t, func(t *testing.T, n *simnet.Net) {
			seed := startNode(t, n, 1, info, full)
			leech := startNode(t, n, 2, info, nil)
			leech.addPeers(seed)
			time.Sleep(after * time.Millisecond)
			leech.close()
			if leech.store != nil && (!leech.store.closed || leech.store.flushes == 0) {
				t.Error("storage was not flushed and closed")
			}
			leech.AddCandidates([]engine.Candidate{{Addr: seed.addr}}) // has no effect
			if s := leech.Snapshot(); s.State != Stopped {
				t.Errorf("%+v", s)
			}
			seed.close()
		})
	}
}

// While data is written, it is synced every ten seconds.
func TestFlushesFollowWrites(t *testing.T) {
	info, full := makeContent(t, 4<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		seed := startNode(t, n, 1, info, full)
		defer seed.close()
		leech := startNode(t, n, 2, info, nil)
		defer leech.close()
		leech.addPeers(seed)
		leech.await(Complete, time.Minute)
		time.Sleep(flushEvery + time.Second)
		leech.store.mu.Lock()
		after := leech.store.flushes
		leech.store.mu.Unlock()
		time.Sleep(10 * flushEvery)
		leech.store.mu.Lock()
		defer leech.store.mu.Unlock()
		if after == 0 || leech.store.flushes != after {
			t.Errorf("%d flushes, later %d", after, leech.store.flushes)
		}
	})
}

func TestOnlySelectedPiecesAreFetched(t *testing.T) {
	info, full := makeContent(t, 4<<20, 256<<10)
	sim(t, func(t *testing.T, n *simnet.Net) {
		seed := startNode(t, n, 1, info, full)
		defer seed.close()
		leech := startNode(t, n, 2, info, nil, func(c *Config, _ *SharedConfig) {
			open := c.Open
			c.Open = func(ctx context.Context, info *metainfo.Info, p func(int64, int64)) (Content, error) {
				o, err := open(ctx, info, p)
				o.Wanted = info.Wanted(nil)
				o.Wanted.Clear()
				o.Wanted.Add(3)
				return o, err
			}
		})
		defer leech.close()
		leech.addPeers(seed)
		leech.await(Complete, time.Minute)
		if s := leech.Snapshot(); s.HavePieces != 1 || s.State != Seeding {
			t.Errorf("%+v", s)
		}
		leech.SetWanted(info.Wanted(nil), bitset.Set{})
		time.Sleep(2 * time.Minute)
		if s := leech.Snapshot(); s.HavePieces != s.Pieces {
			t.Errorf("%+v", s)
		}
		leech.checkContent(full)
	})
}
