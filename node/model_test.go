package node

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"pgregory.net/rapid"

	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
	"seedbed/swarm/storage"
)

// gate sits between storage and the system's disk: it makes operations hang and fail.
type gate struct {
	handles *storage.Handles
	across  bool // every folder is on its own file system

	mu     sync.Mutex
	left   int           // operations until the disk hangs; negative: never
	hung   chan struct{} // closed when it works again
	fails  error         // error of write operations
	passed int
}

func (g *gate) pass(writes bool) error {
	g.mu.Lock()
	g.passed++
	if g.left > 0 {
		g.left--
	}
	var c chan struct{}
	if g.left == 0 {
		c = g.hung
	}
	g.mu.Unlock()
	if c != nil {
		<-c
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	if writes {
		return g.fails
	}
	return nil
}

func (g *gate) hangAfter(n int) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.left = n; g.hung == nil {
		g.hung = make(chan struct{})
	}
}

func (g *gate) release() {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.hung != nil {
		close(g.hung)
	}
	g.left, g.hung = -1, nil
}

func (g *gate) setFail(err error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.fails = err
}

func (g *gate) open(dir string, create bool) (storage.Disk, error) {
	if err := g.pass(false); err != nil {
		return nil, err
	}
	d, err := storage.SystemDisk(dir, create, g.handles)
	return gatedDisk{d, g}, err
}

func (g *gate) rename(from, to string) error {
	if err := g.pass(true); err != nil {
		return err
	}
	if g.across {
		return syscall.EXDEV
	}
	return os.Rename(from, to)
}

type gatedDisk struct {
	storage.Disk
	g *gate
}

func (d gatedDisk) Open(name string, flag int, perm fs.FileMode) (storage.File, error) {
	if err := d.g.pass(flag&(os.O_RDWR|os.O_WRONLY) != 0); err != nil {
		return nil, err
	}
	return d.Disk.Open(name, flag, perm)
}

func (d gatedDisk) Rename(from, to string) error {
	return cmpErr(d.g.pass(true), func() error { return d.Disk.Rename(from, to) })
}

func (d gatedDisk) Remove(name string) error {
	return cmpErr(d.g.pass(true), func() error { return d.Disk.Remove(name) })
}

func (d gatedDisk) SyncDir(name string) error {
	return cmpErr(d.g.pass(true), func() error { return d.Disk.SyncDir(name) })
}

func cmpErr(err error, then func() error) error {
	if err != nil {
		return err
	}
	return then()
}

// twin is the expected state of a torrent.
type twin struct {
	there  bool
	paused bool
	dir    int
	labels string
	data   int // folder that has the data; -1: deleted; -2: unknown after a disk failure
}

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
			m.now[i].data = -2
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
			next.data = -2
			m.now[i] = next
		}
	}
}

// settle lets the disk work and waits until no action is left.
func (m *model) settle() {
	m.g.release()
	m.g.setFail(nil)
	for i := range m.specs {
		for range 100 {
			x := m.torrent(i)
			if x == nil {
				break
			}
			if err := x.awaitRest(context.Background()); err != nil {
				m.t.Fatal(err)
			}
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

// is returns how torrent i differs from a twin, or "".
func (m *model) is(i int, want twin) string {
	return differs(m.n, m.root, &m.specs[i], m.bytes[i], want)
}

// differs returns how a torrent differs from a twin, or "". The folders are d0, d1, ... in root.
func differs(n *Node, root string, s *Spec, content []byte, want twin) string {
	folder := func(i int) string { return filepath.Join(root, "d"+strconv.Itoa(i)) }
	x := n.Torrent(s.InfoHash())
	if (x != nil) != want.there {
		return fmt.Sprintf("it is there: %v", x != nil)
	}
	if x != nil {
		x.Snapshot()
		phase, spec := x.Phase(), x.spec()
		switch {
		case want.paused != (phase == lifecycle.Paused), !want.paused && phase != lifecycle.Seeding:
			return fmt.Sprintf("it is %v: %v", phase, x.Snapshot().Paused)
		case spec.Dir != folder(want.dir):
			return "it is in " + spec.Dir
		case fmt.Sprint(spec.Labels) != want.labels:
			return fmt.Sprintf("its labels are %v", spec.Labels)
		}
	}
	for d := range folders {
		b, err := os.ReadFile(filepath.Join(folder(d), s.Name()))
		switch {
		case want.data == -2:
		case (err == nil) != (d == want.data):
			return fmt.Sprintf("its data is in folder %d: %v", d, err == nil)
		case err == nil && !bytes.Equal(b, content):
			return "its data is not what it was"
		}
		left, _ := filepath.Glob(filepath.Join(folder(d), s.Name()+".*.moving"))
		if len(left) > 0 {
			return fmt.Sprintf("half a copy is left: %v", left)
		}
	}
	_, err := os.Stat(filepath.Join(root, "state", "torrents", s.InfoHash().String()))
	if want.data != -2 && (err == nil) != want.there { // an interrupted Add may leave a folder without a record
		return fmt.Sprintf("its folder in the state directory: %v", err)
	}
	return ""
}

// fail makes the disk fail. A removal may then keep the data.
func (m *model) fail(err error) {
	m.g.setFail(err)
	m.fault = true
	for i := range m.now {
		if len(m.or[i]) > 0 && !m.now[i].there {
			m.now[i].data = -2
		}
	}
}

// folders is the number of folders in a model.
const folders = 3

// check compares all torrents with their twins.
func (m *model) check(killed bool) {
	killed = killed || m.fault // operations that did not return in time may have failed as well
	m.fault = false
	for i := range m.specs {
		why := m.is(i, m.now[i])
		if why != "" && killed {
			for other := range m.or[i] {
				if m.is(i, other) == "" {
					m.now[i], why = other, ""
					break
				}
			}
		}
		if why != "" {
			m.t.Fatalf("torrent %d, which should be %+v: %s", i, m.now[i], why)
		}
		m.or[i] = nil
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
	switch op := rapid.SampledFrom([]string{"add", "add", "remove", "pause", "resume", "recheck", "move", "move", "labels", "hang", "hang", "full", "fail",
		"work", "restart", "kill"}).Draw(t, "op"); op {
	case "add":
		if was.there || len(m.or[i]) > 0 {
			return
		}
		next = twin{there: true, dir: rapid.IntRange(0, folders-1).Draw(t, "folder"), labels: "[]"}
		for d := range folders {
			_ = os.Remove(filepath.Join(m.folder(d), m.specs[i].Name()))
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
			if next.data = -1; m.fault {
				next.data = -2 // unproven data stays
			}
		}
		m.do(i, next, func(ctx context.Context) error { return m.n.Remove(ctx, m.specs[i].InfoHash(), data) })
	case "pause", "resume", "recheck", "move", "labels":
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
		m.do(i, next, func(ctx context.Context) error { return x.Move(ctx, m.folder(next.dir)) })
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
func TestTheSessionAgreesWithItsTwin(t *testing.T) {
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
				m.now[i] = twin{data: -1}
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
