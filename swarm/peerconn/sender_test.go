package peerconn

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/shaper"
	"seedbed/internal/simnet"
	"seedbed/swarm/engine"
	"seedbed/swarm/mse"
	"seedbed/swarm/wire"
)

// testConn is a connection whose peer is the test.
type testConn struct {
	o *owner
	*Conn
	peer net.Conn
	r    *bufio.Reader
	up   *shaper.Shaper
}

const testPiece = 1 << 20

// dial connects over a network with 10 ms delay.
func dial(t *testing.T, num byte, rate float64, up *shaper.Shaper, encrypted bool) *testConn {
	t.Helper()
	n := simnet.New(1, simnet.Link{Delay: 10 * time.Millisecond, Rate: rate})
	a, b := n.Host(netip.AddrFrom4([4]byte{10, 0, 0, num})), n.Host(netip.AddrFrom4([4]byte{10, 0, 1, num}))
	l, err := b.Listen(6881)
	if err != nil {
		t.Fatal(err)
	}
	nc, err := a.Dial(context.Background(), netip.AddrPortFrom(b.Addr(), 6881))
	if err != nil {
		t.Fatal(err)
	}
	peer, err := l.Accept(context.Background())
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	o := &owner{frame: wire.MaxFrame, pieceLength: testPiece, ended: make(chan struct{})}
	if encrypted {
		nc, peer = encrypt(t, nc, peer)
	}
	r := NewResources()
	c := New(nc, Config{ID: 1, Owner: o, Resources: r, Up: up.NewFlow(), Down: new(shaper.Shaper).NewFlow()})
	c.Start()
	return &testConn{o, c, peer, bufio.NewReader(peer), up}
}

// encrypt performs the encrypted handshake between both ends.
func encrypt(t *testing.T, a, b net.Conn) (net.Conn, net.Conn) {
	t.Helper()
	key := id.ID{1}
	done := make(chan mse.Result, 1)
	go func() {
		r, err := mse.Receive(b, nil, func([20]byte) (id.ID, bool) { return key, true }, func(m mse.Methods) mse.Methods { return m }, rand.Reader)
		if err != nil {
			t.Error(err)
		}
		done <- r
	}()
	r, err := mse.Initiate(a, key, mse.RC4, nil, rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	theirs := <-done
	return r.Wrap(a), theirs.Wrap(b)
}

func (l *testConn) end() {
	l.Close(engine.FaultLocal)
	<-l.o.ended
	l.peer.Close()
	l.Resources.Close()
}

// next reads one message.
func (l *testConn) next() (wire.Msg, error) {
	var p [wire.PrefixLen]byte
	if _, err := io.ReadFull(l.r, p[:]); err != nil {
		return wire.Msg{}, err
	}
	b := make([]byte, binary.BigEndian.Uint32(p[:]))
	if _, err := io.ReadFull(l.r, b); err != nil {
		return wire.Msg{}, err
	}
	return wire.Parse(b)
}

// blocksOf returns the first n blocks of 16 KiB of the content.
func blocksOf(n int) (list []engine.Block) {
	for i := range n {
		off := i * 16 << 10
		list = append(list, engine.Block{Piece: uint32(off / testPiece), Begin: uint32(off % testPiece), Length: 16 << 10})
	}
	return list
}

func control(i uint32) []byte { return wire.Append(nil, wire.Msg{Type: wire.Have, Index: i}) }

// However Flush is called, over a fast or slow link, every block and every control
// message arrives complete and in order.
func TestEverythingArrivesInOrder(t *testing.T) {
	for _, rate := range []float64{0, 3 << 20, 100 << 10} {
		t.Run(fmt.Sprint(rate), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := dial(t, 1, rate, new(shaper.Shaper), rate > 0)
				defer l.end()
				blocks := blocksOf(150)
				go func() {
					for i, b := range blocks {
						l.Flush(control(uint32(i)), []engine.Block{b})
						if i%40 == 0 {
							time.Sleep(300 * time.Millisecond)
						}
					}
				}()
				haves, got := uint32(0), 0
				for haves < 150 || got < 150 {
					m, err := l.next()
					if err != nil {
						t.Fatal(err)
					}
					switch m.Type {
					case wire.Have:
						if m.Index != haves {
							t.Fatalf("have %d instead of %d", m.Index, haves)
						}
						haves++
					case wire.Piece:
						b := blocks[got]
						got++
						if m.Index != b.Piece || m.Begin != b.Begin || len(m.Payload) != int(b.Length) {
							t.Fatalf("block %d %d instead of %v", m.Index, m.Begin, b)
						}
						for k, x := range m.Payload {
							if x != contentAt(int64(b.Piece)*testPiece+int64(b.Begin)+int64(k)) {
								t.Fatalf("block %v is wrong at %d", b, k)
							}
						}
					}
				}
				synctest.Wait()
				if n := len(l.o.uploads()); n != 150 {
					t.Errorf("%d blocks were reported as uploaded", n)
				}
			})
		})
	}
}

// A control message precedes the waiting blocks: it comes after what the system has
// accepted and the block that was cut off, but before all others.
func TestControlMessagesGoBeforePayload(t *testing.T) {
	for name, encrypted := range map[string]bool{"unencrypted": false, "encrypted": true} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				const window = 256 << 10 // of simnet
				l := dial(t, 1, 100<<10, new(shaper.Shaper), encrypted)
				defer l.end()
				l.Flush(nil, blocksOf(200))
				read := 0
				until := func(done func(wire.Msg) bool) {
					t.Helper()
					for {
						m, err := l.next()
						if err != nil {
							t.Fatal(err)
						}
						if m.Type == wire.Piece {
							read += wire.PieceHeaderLen + len(m.Payload)
						}
						if done(m) {
							return
						}
					}
				}
				until(func(wire.Msg) bool { return read > 1<<20 })
				synctest.Wait()
				l.Flush(control(7), nil)
				before := read
				until(func(m wire.Msg) bool { return m.Type == wire.Have })
				// Bytes on the way, and the rest of one block.
				if more := read - before; more > window+16<<10+wire.PieceHeaderLen {
					t.Errorf("%d bytes of payload preceded a control message, but only %d fit on the way", more, window)
				}
			})
		})
	}
}

// With an upload limit, a control message is not delayed by blocks of this or other peers
// that wait for the limit.
func TestRateLimitDelaysNoControlMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := new(shaper.Shaper)
		up.SetRate(20 << 10)
		var conns []*testConn
		for i := range byte(8) {
			l := dial(t, i, 0, up, false)
			defer l.end()
			l.Flush(nil, blocksOf(64))
			conns = append(conns, l)
		}
		time.Sleep(30 * time.Second)
		for i, l := range conns {
			sent := make(chan time.Time, 1)
			go func() {
				for {
					m, err := l.next()
					if err != nil || m.Type == wire.Have {
						sent <- time.Now()
						_, _ = io.Copy(io.Discard, l.r)
						return
					}
				}
			}()
			synctest.Wait()
			start := time.Now()
			l.Flush(control(1), nil)
			if d := (<-sent).Sub(start); d > 15*time.Millisecond {
				t.Errorf("connection %d: a control message took %v over a link of 10 ms", i, d)
			}
		}
		// The limit is respected and shared evenly.
		start, before := time.Now(), 0
		for _, l := range conns {
			before += len(l.o.uploads())
		}
		time.Sleep(2 * time.Minute)
		after := 0
		for i, l := range conns {
			n := len(l.o.uploads())
			after += n
			if n == 0 {
				t.Errorf("connection %d got nothing", i)
			}
		}
		rate := float64((after-before)*16<<10) / time.Since(start).Seconds()
		if rate > 1.05*20<<10 || rate < 0.9*20<<10 {
			t.Errorf("%.0f bytes/s with a limit of %d", rate, 20<<10)
		}
	})
}

// The blocks of connections that share a limit are sent in the order of the calls of
// Flush, whatever the limit and the number of blocks, including those flushed before
// there was a limit. A peer that accepts nothing does not block others.
func TestBlocksKeepTheirOrderAcrossConnections(t *testing.T) {
	for _, limit := range []int64{20 << 10, 300 << 10, 6 << 20} {
		synctest.Test(t, func(t *testing.T) {
			up := new(shaper.Shaper)
			var conns []*testConn
			for i := range byte(3) {
				l := dial(t, i, 0, up, i == 1)
				defer l.end()
				if i > 0 {
					go io.Copy(io.Discard, l.peer)
					l.Up = conns[0].Up
				}
				conns = append(conns, l)
			}
			mute := conns[0]
			mute.Flush(nil, blocksOf(40))
			up.SetRate(limit)
			blocks := blocksOf(60)
			var want []string
			for turn := 0; len(blocks) > 0; turn++ {
				n := min(1+turn%5, len(blocks))
				to := 1 + turn%2
				conns[to].Flush(control(1), blocks[:n])
				for _, b := range blocks[:n] {
					want = append(want, fmt.Sprint(to, b))
				}
				blocks = blocks[n:]
			}
			var got []string
			seen := []int{0, 0, 0}
			for end := time.Now().Add(2 * time.Minute); time.Now().Before(end) && len(got) < len(want); {
				time.Sleep(time.Duration(16<<10*int64(time.Second)/limit) / 8)
				synctest.Wait()
				for i, l := range conns[1:] {
					list := l.o.uploads()
					for _, b := range list[seen[i]:] {
						got = append(got, fmt.Sprint(1+i, b))
					}
					seen[i] = len(list)
				}
			}
			if !slices.Equal(got, want) {
				t.Errorf("at %d bytes/s:\n%v, not\n%v", limit, got, want)
			}
		})
	}
}

// Waiting for the rate limit, however long, is not the peer's fault.
func TestRateLimitEndsNoConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		up := new(shaper.Shaper)
		up.SetRate(64)
		l := dial(t, 1, 0, up, false)
		defer l.end()
		go io.Copy(io.Discard, l.peer)
		l.Flush(control(1), blocksOf(4))
		time.Sleep(20 * time.Minute)
		if n := len(l.o.uploads()); n < 3 {
			t.Errorf("%d blocks in 20 minutes at 64 bytes/s", n)
		}
		select {
		case <-l.o.ended:
			t.Error("the connection ended:", l.o.err)
		default:
		}
		up.SetRate(0)
		synctest.Wait()
		if n := len(l.o.uploads()); n != 4 {
			t.Errorf("%d of 4 blocks after the limit was removed", n)
		}
	})
}

// A peer that accepts nothing is disconnected after two minutes. A peer that accepts
// something now and then is kept, and accepted bytes do not count.
func TestWriteDeadlineDependsOnProgress(t *testing.T) {
	for name, f := range map[string]func(t *testing.T, l *testConn){
		"nothing waits": func(t *testing.T, l *testConn) {
			l.Flush(control(1), blocksOf(2))
			time.Sleep(time.Hour)
			l.Flush(control(2), blocksOf(2))
			synctest.Wait()
			if n := len(l.o.uploads()); n != 4 {
				t.Errorf("%d of 4 blocks", n)
			}
		},
		"slow": func(t *testing.T, l *testConn) {
			l.Flush(control(1), blocksOf(40))
			for range 60 {
				time.Sleep(writeTimeout - time.Second)
				if _, err := l.r.Discard(10 << 10); err != nil {
					t.Fatal(err)
				}
			}
			if n := len(l.o.uploads()); n != 40 {
				t.Errorf("%d of 40 blocks", n)
			}
		},
		"silent": func(t *testing.T, l *testConn) {
			start := time.Now()
			l.Flush(control(1), blocksOf(40))
			<-l.o.ended
			if d := time.Since(start); d != writeTimeout || !errors.Is(l.o.err, os.ErrDeadlineExceeded) {
				t.Errorf("after %v: %v", d, l.o.err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				l := dial(t, 1, 0, new(shaper.Shaper), false)
				defer l.end()
				f(t, l)
			})
		})
	}
}

// A peer that reads nothing is disconnected when its control messages pile up.
func TestControlMessagesThatPileUpEndTheConnection(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := dial(t, 1, 0, new(shaper.Shaper), false)
		defer l.end()
		sent := 0
		for ; sent < 4*maxControl && !l.hasEnded(); sent += 9000 {
			l.Flush(make([]byte, 9000), nil)
			synctest.Wait()
		}
		<-l.o.ended
		if l.o.fault != engine.FaultSlow {
			t.Error(l.o.fault, l.o.err)
		}
	})
}

func (l *testConn) hasEnded() bool {
	select {
	case <-l.o.ended:
		return true
	default:
		return false
	}
}

// A block that cannot be read is reported, and later blocks are still tried.
func TestUnreadableBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		l := dial(t, 1, 0, new(shaper.Shaper), false)
		defer l.end()
		l.o.readErr = io.ErrUnexpectedEOF
		l.Flush(nil, []engine.Block{{Piece: 0, Length: 5}, {Piece: 3, Length: 7}})
		synctest.Wait()
		l.o.mu.Lock()
		n, reads := len(l.o.unread), l.o.reads
		l.o.mu.Unlock()
		if n != 2 || reads != 2 {
			t.Errorf("%d blocks were reported as unread after %d reads", n, reads)
		}
		l.Flush(control(3), nil)
		if m, err := l.next(); err != nil || m.Type != wire.Have {
			t.Error(m, err)
		}
	})
}

// An idle connection has neither goroutine nor buffer, and reacts at once when bytes
// arrive.
func TestIdleConnectionHasNoGoroutine(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		before := runtime.NumGoroutine()
		var conns []*testConn
		for i := range byte(50) {
			l := dial(t, i, 0, new(shaper.Shaper), false)
			defer l.end()
			conns = append(conns, l)
			if _, err := l.peer.Write(control(1)); err != nil {
				t.Fatal(err)
			}
			l.Flush(control(2), blocksOf(3))
		}
		time.Sleep(time.Second)
		synctest.Wait()
		// The runtime also counts goroutines that have just ended, and those of other
		// tests.
		if n := runtime.NumGoroutine() - before; n > len(conns)/10 {
			t.Errorf("%d goroutines for %d idle connections", n, len(conns))
		}
		for _, l := range conns {
			if l.Resources.ReadBuffers() != 0 || len(l.o.arrivals) != 1 {
				t.Fatalf("%d buffers are held after %d messages", l.Resources.ReadBuffers(), len(l.o.arrivals))
			}
			if _, err := l.peer.Write(control(9)); err != nil {
				t.Fatal(err)
			}
		}
		time.Sleep(10 * time.Millisecond)
		synctest.Wait()
		for _, l := range conns {
			if len(l.o.arrivals) != 2 {
				t.Fatal("a message was not read when it arrived")
			}
		}
	})
}

// A connection can end in any state, and releases its resources.
func TestConnectionEndsInAnyState(t *testing.T) {
	for name, busy := range map[string]func(l *testConn){
		"idle":      func(*testConn) {},
		"parked":    func(l *testConn) { l.Flush(nil, blocksOf(100)) },
		"admission": func(l *testConn) { l.up.SetRate(1); l.Flush(nil, blocksOf(100)) },
		"reading":   func(l *testConn) { l.peer.Write(make([]byte, 100)[:3]) },
	} {
		for how, end := range map[string]func(l *testConn){
			"closed": func(l *testConn) { l.Close(engine.FaultBanned) },
			"reset":  func(l *testConn) { l.peer.(interface{ Reset() }).Reset() },
			"gone":   func(l *testConn) { l.peer.Close() },
		} {
			t.Run(name+" "+how, func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					l := dial(t, 1, 0, new(shaper.Shaper), false)
					busy(l)
					time.Sleep(time.Second)
					end(l)
					<-l.o.ended
					if how == "closed" && l.o.fault != engine.FaultBanned || how != "closed" && l.o.err == nil {
						t.Error(l.o.fault, l.o.err)
					}
					if n := l.Resources.ReadBuffers(); n != 0 {
						t.Errorf("%d read buffers are held", n)
					}
					l.Flush(control(1), blocksOf(1)) // has no effect
					l.end()
				})
			})
		}
	}
}
