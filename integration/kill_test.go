//go:build linux

package integration

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"seedbed/swarm/wire"
)

// A download is killed with kill -9 at any instant, with five file layouts. After the next run
// every byte is right, and that run downloads at most 8 MiB again.
func TestBatteryKills(t *testing.T) {
	need(t)
	// Not parallel to the other tests: clients that announce once, like rtorrent, lose
	// that announce if everything is slow.
	kills := 3
	if os.Getenv("SEEDBED_SOAK") != "" {
		kills = 40
	}
	many := map[string]int{}
	for i := range 150 {
		many[fmt.Sprintf("%d/%d", i%7, i)] = 1 + i*i*19%300_000
	}
	const mib = 1 << 20
	layouts := []struct {
		name  string
		piece int
		files map[string]int
		args  []string
	}{
		{"one file", mib, map[string]int{"": 24*mib - 7}, nil},
		{"large pieces", 16 * mib, map[string]int{"a": 30 * mib, "b": 10*mib - 1}, nil},
		{"many files", 256 << 10, many, nil},
		{"some files", mib, map[string]int{"a": 7*mib + 5, "b": 300, "c": 9 * mib, "d": 5*mib + 1, "e": 100_000}, []string{"--select", "1,3,5"}},
		{"small pieces", 16 << 10, map[string]int{"x": 11*mib + 3, "y": 8 * mib}, nil},
	}
	var mu sync.Mutex
	var lines []string
	var all, most int64
	t.Run("", func(t *testing.T) {
		for i, l := range layouts {
			t.Run(l.name, func(t *testing.T) {
				t.Parallel()
				p := newPayload(t, "killed, "+l.name, l.piece, false, l.files)
				k := killed{t: t, p: p, args: l.args, seed: startMeter(t, fmt.Sprintf("10.2.190.%d", i+1), p, 40*mib), dice: rand.New(rand.NewPCG(uint64(i), 1))}
				k.run(timeLimit(t), fmt.Sprintf("10.4.190.%d", i+1), kills)
				if t.Failed() {
					return
				}
				mu.Lock()
				defer mu.Unlock()
				lines = append(lines, fmt.Sprintf("%s: again %.1f MiB, at most %.1f; the restart asked after %d ms, at most %d",
					l.name, float64(k.again)/mib/float64(kills), float64(k.most)/mib, slices.Sorted(slices.Values(k.restart))[kills/2], slices.Max(k.restart)))
				all, most = all+int64(kills), max(most, k.most)
			})
		}
	})
	for _, l := range slices.Sorted(slices.Values(lines)) {
		t.Log("battery:", l)
	}
	t.Logf("battery: %d times kill -9 over %d layouts: every byte right, at most %.1f MiB fetched again", all, len(layouts), float64(most)/mib)
}

// killed is the runs with one file layout.
type killed struct {
	t    *testing.T
	p    *payload
	args []string
	seed *meter
	dice *rand.Rand

	again, most int64   // payload bytes sent beyond what was missing
	restart     []int64 // ms from the start of the second run to its first request
}

func (k *killed) run(ctx context.Context, ip string, kills int) {
	wanted := k.p.size
	get := func(dir, state string) *ours {
		args := []string{"get", k.p.torrent, "-d", dir, "--state", state, "--peer", endpoint(k.seed.ip)}
		return run(k.t, ip, offline(append(args, k.args...)...)...)
	}
	// Once without a kill, to measure how long it takes and how much is downloaded.
	began := time.Now()
	k.seed.reset()
	get(k.t.TempDir(), k.t.TempDir()).ends(ctx, 0)
	if k.args != nil {
		wanted = k.seed.sent.Load()
	}
	span := time.UnixMilli(k.seed.last.Load()).Sub(began)
	for range kills {
		dir, state := k.t.TempDir(), k.t.TempDir()
		k.seed.reset()
		o := get(dir, state)
		time.Sleep(time.Duration(k.dice.Int64N(int64(span))))
		o.cmd.Process.Kill()
		<-o.ended
		k.seed.idle()
		before := k.seed.sent.Load()
		restarted := time.Now()
		get(dir, state).ends(ctx, 0)
		again := k.seed.sent.Load() - wanted
		if k.seed.sent.Load() > before {
			k.restart = append(k.restart, k.seed.first.Load()-restarted.UnixMilli())
		} else {
			k.restart = append(k.restart, 0) // nothing was left to download
		}
		if again > 8<<20 {
			k.t.Errorf("%d bytes were fetched again", again)
		}
		k.again += again
		k.most = max(k.most, again)
		if k.args == nil {
			k.p.same(k.t, dir, true)
		} else {
			n := 0
			k.p.only(func(file) bool { n++; return n%2 == 1 }).same(k.t, dir, false)
		}
		if k.t.Failed() {
			return
		}
	}
}

// meter is a minimal seed that counts what it sends. It is so slow that its sockets hold
// almost nothing that the leecher has not read.
type meter struct {
	t    *testing.T
	ip   string
	p    *payload
	data []byte
	rate int64

	sent  atomic.Int64 // bytes of payload
	first atomic.Int64 // when the latest connection made its first request, Unix ms
	last  atomic.Int64 // when the latest payload was sent, Unix ms

	// The open connections. Not a WaitGroup, because a connection may start while idle
	// waits.
	mu    sync.Mutex
	conns int
	gone  sync.Cond // of mu: conns has decreased
}

func startMeter(t *testing.T, ip string, p *payload, rate int64) *meter {
	m := &meter{t: t, ip: ip, p: p, rate: rate}
	m.gone.L = &m.mu
	for _, f := range p.files {
		m.data = append(m.data, f.data...)
	}
	l, err := net.Listen("tcp", endpoint(ip))
	must(t, err)
	var accepting sync.WaitGroup
	accepting.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			m.count(1)
			go func() {
				defer m.count(-1)
				defer nc.Close()
				_ = m.serve(nc)
			}()
		}
	})
	t.Cleanup(func() { l.Close(); accepting.Wait(); m.idle() })
	return m
}

func (m *meter) reset() { m.idle(); m.sent.Store(0) }

func (m *meter) count(n int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.conns += n
	m.gone.Broadcast()
}

// idle waits until all connections have ended.
func (m *meter) idle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for m.conns > 0 {
		m.gone.Wait()
	}
}

func (m *meter) serve(nc net.Conn) error {
	if tc, ok := nc.(*net.TCPConn); ok {
		_ = tc.SetWriteBuffer(64 << 10)
	}
	r := bufio.NewReader(nc)
	var h [wire.HandshakeLen]byte
	if _, err := io.ReadFull(r, h[:]); err != nil {
		return err
	}
	_, infohash, id, err := wire.ParseHandshake(h[:])
	if err != nil {
		return err
	}
	id[0] ^= 0xff
	var fast wire.Reserved
	fast.SetFast()
	b := wire.AppendHandshake(nil, fast, infohash, id)
	b = wire.Append(wire.Append(b, wire.Msg{Type: wire.HaveAll}), wire.Msg{Type: wire.Unchoke})
	if _, err := nc.Write(b); err != nil {
		return err
	}
	asked := false
	due := time.Now()
	for {
		var prefix [wire.PrefixLen]byte
		if _, err := io.ReadFull(r, prefix[:]); err != nil {
			return err
		}
		body := make([]byte, binary.BigEndian.Uint32(prefix[:]))
		if _, err := io.ReadFull(r, body); err != nil {
			return err
		}
		q, err := wire.Parse(body)
		if err != nil {
			return err
		}
		if q.Type != wire.Request {
			continue
		}
		if !asked {
			asked = true
			m.first.Store(time.Now().UnixMilli())
		}
		off := int64(q.Index)*m.p.piece + int64(q.Begin)
		due = due.Add(time.Duration(int64(q.Length) * int64(time.Second) / m.rate))
		if now := time.Now(); due.Before(now) {
			due = now
		} else if due.Sub(now) > 2*time.Millisecond {
			time.Sleep(due.Sub(now))
		}
		out := wire.Append(nil, wire.Msg{Type: wire.Piece, Index: q.Index, Begin: q.Begin, Payload: m.data[off : off+int64(q.Length)]})
		if _, err := nc.Write(out); err != nil {
			return err
		}
		m.sent.Add(int64(q.Length))
		m.last.Store(time.Now().UnixMilli())
	}
}
