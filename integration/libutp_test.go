//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"
	"time"

	"seedbed/internal/netx"
	"seedbed/internal/utpconn"
)

// libutp is the program in peers/libutp, which says how a connection goes. The other side of it
// is askOverUTP and answerOverUTP.
type libutp string

func buildLibutp(t testing.TB) libutp {
	t.Helper()
	need(t)
	needCommands(t, "g++")
	return libutp(buildClient(t, "peers/libutp"))
}

// accept starts a process that accepts connections until the test ends.
func (l libutp) accept(t testing.TB, addr string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), string(l), "accept", addr)
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		t.Fatalf("libutp printed %q, %v", line, err)
	}
}

// outcome is the result of many connections.
type outcome struct {
	Right   int      `json:"right"`
	Wrong   int      `json:"wrong"`
	Errors  []string `json:"errors"`
	Seconds float64  `json:"seconds"`
}

// dial makes count connections, at most parallel at a time.
func (l libutp) dial(ctx context.Context, t testing.TB, from, to string, parallel, count, size int, mode string) (o outcome) {
	t.Helper()
	cmd := exec.CommandContext(ctx, string(l), "dial", from, to, strconv.Itoa(parallel), strconv.Itoa(count), strconv.Itoa(size), mode)
	cmd.Stderr = os.Stderr
	b, err := cmd.Output()
	must(t, err)
	must(t, json.Unmarshal(b, &o))
	return o
}

// utpHost starts uTP at an address.
func utpHost(t testing.TB, addr string) *utpconn.Transport {
	t.Helper()
	h, err := netx.Open(netx.Config{Listen: []string{addr}})
	must(t, err)
	tr := utpconn.New(utpconn.Config{Sockets: h.UDP()})
	t.Cleanup(func() {
		_ = tr.Close()
		_ = h.Close()
	})
	return tr
}

// answerUTP answers connections until the test ends.
func answerUTP(t testing.TB, addr string) {
	t.Helper()
	tr := utpHost(t, addr)
	go func() {
		for {
			c, err := tr.Accept(t.Context())
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = answerOverUTP(c) // the side that dials reports what is missing
			}()
		}
	}()
}

func answerOverUTP(c net.Conn) error {
	r := bufio.NewReaderSize(c, 64<<10)
	var head [9]byte
	if _, err := io.ReadFull(r, head[:]); err != nil {
		return err
	}
	size := int64(binary.BigEndian.Uint64(head[1:]))
	if head[0] == 'h' {
		h := sha256.New()
		if _, err := io.CopyN(h, r, size); err != nil {
			return err
		}
		if _, err := c.Write(h.Sum(nil)); err != nil {
			return err
		}
	} else if _, err := io.CopyN(struct{ io.Writer }{c}, r, size); err != nil {
		return err
	}
	_, err := io.Copy(io.Discard, r)
	return err
}

// dialing limits the dials at a time: the binding of libutp closes the connections of a burst of
// SYNs, after the fifth.
var dialing = make(chan struct{}, 4)

// askOverUTP sends size bytes over a new connection and reports whether the answer is right.
func askOverUTP(ctx context.Context, tr *utpconn.Transport, to string, i, size int, mode byte) (bool, error) {
	dialing <- struct{}{}
	c, err := tr.Dial(ctx, netip.MustParseAddrPort(to))
	<-dialing
	if err != nil {
		return false, err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Now()) })
	defer stop()
	payload := make([]byte, 9+size)
	payload[0] = mode
	binary.BigEndian.PutUint64(payload[1:], uint64(size))
	rand.NewChaCha8([32]byte{byte(i), byte(i >> 8), 's'}).Read(payload[9:])
	want := payload[9:]
	if mode == 'h' {
		h := sha256.Sum256(want)
		want = h[:]
	}
	written := make(chan error, 1)
	go func() {
		_, err := c.Write(payload)
		written <- err
	}()
	got := make([]byte, len(want))
	if n, err := io.ReadFull(c, got); err != nil {
		return false, fmt.Errorf("connection %d: byte %d of the answer: %w", i, n, err)
	}
	if err := <-written; err != nil {
		return false, fmt.Errorf("connection %d: %w", i, err)
	}
	return bytes.Equal(got, want), nil
}

// askMany makes count connections, at most parallel at a time.
func askMany(ctx context.Context, tr *utpconn.Transport, to string, parallel, count, size int) (o outcome) {
	begun := time.Now()
	next := make(chan int)
	var mu sync.Mutex
	var wg sync.WaitGroup
	for range parallel {
		wg.Go(func() {
			for i := range next {
				right, err := askOverUTP(ctx, tr, to, i, size, 'e')
				mu.Lock()
				switch {
				case err != nil:
					o.Errors = append(o.Errors, err.Error())
				case right:
					o.Right++
				default:
					o.Wrong++
				}
				mu.Unlock()
			}
		})
	}
	for i := range count {
		next <- i
	}
	close(next)
	wg.Wait()
	o.Seconds = time.Since(begun).Seconds()
	return o
}

// Many connections between libutp and seedbed, each side dialing half of them, carry the right
// bytes both ways over a network that loses, doubles and reorders packets.
func TestBatteryLibutp(t *testing.T) {
	t.Parallel()
	l, ctx := buildLibutp(t), timeLimit(t)
	count, parallel := 40, 40
	if raceEnabled {
		count = 20
	}
	if os.Getenv("SEEDBED_SOAK") != "" {
		count = 500
	}
	const size = 32 << 10
	bad := impairment{delay: 5 * time.Millisecond, loss: 0.03, copies: 0.02, late: 0.05, seed: 17}
	var wg sync.WaitGroup
	wg.Go(func() {
		l.accept(t, "10.5.1.1:6881")
		relay(t, "10.5.1.2:6881", "10.5.1.1:6881", bad)
		report(t, "seedbed dials libutp", count, askMany(ctx, utpHost(t, "10.5.1.3:6881"), "10.5.1.2:6881", parallel, count, size))
	})
	wg.Go(func() {
		answerUTP(t, "10.5.2.1:6881")
		relay(t, "10.5.2.2:6881", "10.5.2.1:6881", bad)
		report(t, "libutp dials seedbed", count, l.dial(ctx, t, "10.5.2.3:6881", "10.5.2.2:6881", parallel, count, size, "echo"))
	})
	wg.Wait()
}

func report(t *testing.T, what string, count int, o outcome) {
	t.Logf("%s: %d connections with the right bytes, %d with wrong ones, %d that failed, in %.1f s", what, o.Right, o.Wrong, len(o.Errors), o.Seconds)
	if o.Right != count {
		t.Errorf("%s: %d of %d: %q", what, o.Right, count, o.Errors)
	}
}

// BenchmarkBarUTPLoss sends 6 MiB over a path with a round trip time of 50 ms that loses 2 % of
// the packets: seedbed to seedbed, and libutp to libutp. seedbed reaches at least 0.8 of the speed.
func BenchmarkBarUTPLoss(b *testing.B) {
	const size = 6 << 20
	l := buildLibutp(b)
	bad := impairment{delay: 25 * time.Millisecond, loss: 0.02}
	run := 0
	next := func() (from, mid, to string) {
		run++
		bad.seed = uint64(run / 2) // the same for both
		ip := func(k int) string { return fmt.Sprintf("10.5.%d.%d:6881", 100+run, k) }
		return ip(3), ip(2), ip(1)
	}
	ours := func() float64 {
		ctx := barTime(b)
		from, mid, to := next()
		answerUTP(b, to)
		relay(b, mid, to, bad)
		tr := utpHost(b, from)
		begun := time.Now()
		right, err := askOverUTP(ctx, tr, mid, 0, size, 'h')
		must(b, err)
		if !right {
			b.Fatal("wrong bytes")
		}
		return time.Since(begun).Seconds()
	}
	theirs := func() float64 {
		ctx := barTime(b)
		from, mid, to := next()
		l.accept(b, to)
		relay(b, mid, to, bad)
		o := l.dial(ctx, b, from, mid, 1, 1, size, "hash")
		if o.Right != 1 {
			b.Fatalf("%+v", o)
		}
		return o.Seconds
	}
	compare(b, "s", 1/0.8, ours, theirs)
}
