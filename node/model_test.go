package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
)

// model drives a node and its twins.
type model struct {
	t     *rapid.T
	net   *simnet.Net
	g     *gate
	root  string
	specs []Spec
	bytes [][]byte
	n     *Node
	now   []twin
	or    []map[twin]bool // other states that a kill may lead to
	fault bool            // the disk has failed since the last check
	host  int
}

func (m *model) folder(i int) string { return filepath.Join(m.root, "d"+strconv.Itoa(i)) }
func (m *model) torrent(i int) *Torrent {
	return m.n.Torrent(m.specs[i].InfoHash())
}

// start opens the node on the existing folders and restores the session.
func (m *model) start() {
	m.host++
	network, err := m.net.Host(addr(m.host)).Open(DefaultPort)
	if err != nil {
		m.t.Fatal(err)
	}
	cfg := Config{State: filepath.Join(m.root, "state"), Bootstrap: []string{}, NoDHT: true, Network: network, openDisk: m.g.open, rename: m.g.rename}
	if m.n, err = Open(cfg); err != nil {
		m.t.Fatal(err)
	}
	m.g.handles = m.n.handles
	for i := range m.now {
		m.now[i].held = false
	}
	if err := m.n.Restore(context.Background()); err != nil {
		m.t.Fatal("restoring:", err)
	}
}

func (m *model) close() {
	if err := m.n.Close(context.Background()); err != nil {
		m.t.Fatal("closing:", err)
	}
}

// do calls an operation for torrent i that leads to next. If it does not return in time,
// it completes later or, if the process is killed, possibly never.
func (m *model) do(i int, next twin, op func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	before := m.now[i]
	err := op(ctx)
	switch {
	case err == nil:
		m.now[i] = next
	case errors.Is(err, context.DeadlineExceeded):
		if m.or[i] == nil {
			m.or[i] = map[twin]bool{}
		}
		m.or[i][before] = true
		if m.now[i] = next; m.fault && !next.there {
			m.now[i].data = unknown
		}
	case errors.Is(err, ErrEnded), errors.Is(err, ErrUnknown): // a removal is running
	default:
		m.g.mu.Lock()
		failing := m.g.fails != nil
		m.g.mu.Unlock()
		if !failing {
			m.t.Fatalf("torrent %d: %v", i, err)
		}
		if next.there != before.there { // it is removed, but possibly not all of its data
			next.data = unknown
			m.now[i] = next
		}
		if next.name != before.name {
			m.now[i].name = anyName
		}
	}
}

// settle makes the disk work and waits until no action is left.
func (m *model) settle() {
	m.g.release()
	m.g.setFail(nil)
	for i := range m.specs {
		for range 100 {
			x := m.torrent(i)
			if x == nil {
				break
			}
			_ = x.Settled(context.Background()) // a move may have failed
			time.Sleep(time.Second)
		}
		if x := m.torrent(i); x != nil && !x.isStopping() {
			if p := x.Phase(); p == lifecycle.Failed || p == lifecycle.Missing {
				_ = x.Resume(context.Background())
				time.Sleep(time.Minute)
			}
		}
	}
	time.Sleep(5 * time.Minute) // failed operations are retried
}

// isMoving reports whether a move of torrent i has not returned in time.
func (m *model) isMoving(i int) bool {
	for other := range m.or[i] {
		if other.dir != m.now[i].dir {
			return true
		}
	}
	return false
}

// isRenaming reports whether a rename of torrent i has not returned in time.
func (m *model) isRenaming(i int) bool {
	for other := range m.or[i] {
		if other.name != m.now[i].name {
			return true
		}
	}
	return false
}

// differsFrom returns how torrent i differs from a twin, or "".
func (m *model) differsFrom(i int, want twin) string {
	return differs(m.n, m.root, &m.specs[i], m.bytes[i], want)
}

// fail makes the disk fail. A removal may then keep the data.
func (m *model) fail(err error) {
	m.g.setFail(err)
	m.fault = true
	for i := range m.now {
		if len(m.or[i]) > 0 && !m.now[i].there {
			m.now[i].data = unknown
		}
	}
}

// check compares all torrents with their twins.
func (m *model) check(killed bool) {
	killed = killed || m.fault // operations that did not return in time may have failed as well
	m.fault = false
	for i := range m.specs {
		why := m.differsFrom(i, m.now[i])
		if why != "" && killed {
			for other := range m.or[i] {
				other.held = m.now[i].held
				if m.differsFrom(i, other) == "" {
					m.now[i], why = other, ""
					break
				}
			}
		}
		if why != "" {
			m.t.Fatalf("torrent %d, which should be %+v: %s", i, m.now[i], why)
		}
		m.or[i] = nil
		if x := m.torrent(i); x != nil && m.now[i].name == anyName {
			m.now[i] = m.now[i].rename(&m.specs[i], x.Root())
		}
	}
}

// kill acts like a kill at this instant: the next node finds what the folders hold
// now.
func (m *model) kill() {
	synctest.Wait()
	type file struct {
		b  []byte
		at time.Time
	}
	files := map[string]file{}
	err := filepath.WalkDir(m.root, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		fi, err := e.Info()
		if err != nil {
			return err
		}
		b, err := os.ReadFile(p)
		files[p] = file{b, fi.ModTime()}
		return err
	})
	if err != nil {
		m.t.Fatal(err)
	}
	m.settle()
	m.close()
	entries, err := os.ReadDir(m.root)
	if err != nil {
		m.t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(m.root, e.Name())); err != nil {
			m.t.Fatal(err)
		}
	}
	for p, f := range files {
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			m.t.Fatal(err)
		}
		if err := errors.Join(os.WriteFile(p, f.b, 0o644), os.Chtimes(p, time.Time{}, f.at)); err != nil {
			m.t.Fatal(err)
		}
	}
	for d := range folders {
		if err := os.MkdirAll(m.folder(d), 0o755); err != nil {
			m.t.Fatal(err)
		}
	}
	m.start()
}

// step does one random operation.
func (m *model) step(t *rapid.T) {
	i := rapid.IntRange(0, len(m.specs)-1).Draw(t, "torrent")
	x, was := m.torrent(i), m.now[i]
	next := was
	switch op := rapid.SampledFrom([]string{"add", "add", "remove", "pause", "resume", "hold", "release", "recheck", "move", "move", "rename", "rename", "labels", "high", "hang", "hang", "full", "fail",
		"work", "restart", "kill"}).Draw(t, "op"); op {
	case "add":
		if was.there || len(m.or[i]) > 0 {
			return
		}
		next = twin{there: true, dir: rapid.IntRange(0, folders-1).Draw(t, "folder"), labels: "[]"}
		for d := range folders {
			for _, name := range namesOf(&m.specs[i]) {
				_ = os.Remove(filepath.Join(m.folder(d), name))
			}
		}
		if err := os.WriteFile(filepath.Join(m.folder(next.dir), m.specs[i].Name()), m.bytes[i], 0o644); err != nil {
			t.Fatal(err)
		}
		next.data = next.dir
		m.now[i].data = next.data
		spec := Spec{Torrent: m.specs[i].Torrent, Dir: m.folder(next.dir), Persistent: true}
		m.do(i, next, func(ctx context.Context) error {
			done := make(chan error, 1)
			go func() { _, err := m.n.Add(spec); done <- err }()
			select {
			case err := <-done:
				return err
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	case "remove":
		if x == nil || !was.there {
			return
		}
		next.there = false
		data := rapid.Bool().Draw(t, "data")
		if data {
			if next.data = deleted; m.fault {
				next.data = unknown // unproven data stays
			}
		} else if m.isMoving(i) {
			next.data = anyFolder
		}
		if m.isRenaming(i) {
			next.name = anyName
		}
		m.do(i, next, func(ctx context.Context) error {
			if err := m.n.Remove(ctx, m.specs[i].InfoHash(), data); err != nil {
				return err
			}
			return x.Settled(ctx)
		})
	case "hold", "release":
		if x == nil || !was.there {
			return
		}
		if m.now[i].held = op == "hold"; op == "hold" {
			x.Hold()
		} else {
			x.Release()
		}
	case "pause", "resume", "recheck", "move", "rename", "labels", "high":
		if x == nil || !was.there {
			return
		}
		m.operate(t, i, op, x)
	case "hang":
		m.g.hangAfter(rapid.IntRange(1, 12).Draw(t, "after"))
	case "full":
		m.fail(syscall.ENOSPC)
	case "fail":
		m.fail(syscall.EIO)
	case "work":
		m.settle()
		m.check(false)
	case "restart":
		m.settle()
		m.check(false)
		m.close()
		m.start()
		m.settle()
		m.check(false)
	case "kill":
		m.kill()
		m.settle()
		m.check(true)
	}
}

func (m *model) operate(t *rapid.T, i int, op string, x *Torrent) {
	next := m.now[i]
	switch op {
	case "pause":
		next.paused = true
		m.do(i, next, x.Pause)
	case "resume":
		next.paused = false
		m.do(i, next, x.Resume)
	case "recheck":
		m.do(i, next, x.Recheck)
	case "move":
		if len(m.or[i]) > 0 {
			return // the twin does not know which of two concurrent moves is last
		}
		next.dir = rapid.IntRange(0, folders-1).Draw(t, "to")
		next.data = next.dir
		m.do(i, next, func(ctx context.Context) error {
			if err := x.Move(ctx, m.folder(next.dir)); err != nil {
				return err
			}
			return x.Settled(ctx)
		})
	case "rename":
		if len(m.or[i]) > 0 || next.name == anyName {
			return // as for moves
		}
		name := rapid.SampledFrom(namesOf(&m.specs[i])).Draw(t, "name")
		m.do(i, next.rename(&m.specs[i], name), func(ctx context.Context) error {
			if err := x.RenameTorrent(ctx, name); err != nil {
				return err
			}
			return x.Settled(ctx)
		})
	case "high":
		to := rapid.SampledFrom([]Priority{PriorityHigh, PriorityNormal}).Draw(t, "priority")
		next.high = to == PriorityHigh
		m.do(i, next, func(ctx context.Context) error { return x.SetPriority(ctx, to, []int{1}) })
	case "labels":
		l := []string{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "label")}
		next.labels = fmt.Sprint(l)
		m.do(i, next, func(ctx context.Context) error { return x.SetLabels(ctx, l) })
	}
}

// inBubble hides the test's deadline from rapid, because a bubble has none.
type inBubble struct{ testing.TB }

// Random operations, with restarts, kills, and a disk that hangs at any operation, is full or
// fails, lead to the state of a naive twin: nothing is lost and nothing is half
// done.
func TestSessionAgainstNaiveTwin(t *testing.T) {
	specs := many(t, 3)
	synctest.Test(t, func(t *testing.T) {
		round := 0
		rapid.Check(inBubble{t}, func(rt *rapid.T) {
			round++
			m := &model{t: rt, net: simnet.New(1, simnet.Link{}), root: filepath.Join(t.TempDir(), strconv.Itoa(round)), specs: specs,
				g: &gate{left: -1, across: rapid.Bool().Draw(rt, "across")}}
			m.now, m.or = make([]twin, len(specs)), make([]map[twin]bool, len(specs))
			for i, s := range specs {
				b, err := os.ReadFile(filepath.Join(s.Dir, s.Name()))
				if err != nil {
					rt.Fatal(err)
				}
				m.bytes = append(m.bytes, b)
				m.now[i] = twin{data: deleted}
			}
			for d := range folders {
				if err := os.MkdirAll(m.folder(d), 0o755); err != nil {
					rt.Fatal(err)
				}
			}
			m.start()
			defer func() {
				m.g.release()
				m.g.setFail(nil)
				_ = m.n.Close(context.Background())
			}()
			for range rapid.IntRange(1, 25).Draw(rt, "steps") {
				m.step(rt)
			}
			m.settle()
			m.check(false)
		})
	})
}
