package storage

import (
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

// model is a directory in memory that keeps what a careless reader of POSIX may
// rely on and no more: content lasts from sync on, page by page in any order
// before; names last from syncDir on, each directory by itself.
type model struct {
	mu   *sync.Mutex
	root *node
	now  *int64
	fail *func(op, name string) error // injected faults
}

type node struct {
	dir     bool
	mtime   int64
	data    []byte           // as the system shows it
	disk    []byte           // as the disk has it
	entries map[string]*node // as the system shows them
	lasting map[string]*node // as the disk has them
	journal []map[string]*node
}

const modelPage = 4 << 10

func newModel() *model {
	return &model{mu: new(sync.Mutex), root: newDir(), now: new(int64), fail: new(func(op, name string) error)}
}

func newDir() *node {
	return &node{dir: true, entries: map[string]*node{}, lasting: map[string]*node{}}
}

// sub is the directory name, which lasts.
func (m *model) sub(name string) *model {
	n := m.root.entries[name]
	if n == nil {
		n = newDir()
		m.root.entries[name], m.root.lasting[name] = n, n
	}
	return &model{m.mu, n, m.now, m.fail}
}

// cut is the power failing: what is left is up to the dice.
func (m *model) cut(r *rand.Rand) { cutNode(m.root, r) }

func cutNode(n *node, r *rand.Rand) {
	if !n.dir {
		size := len(n.disk)
		if r.IntN(2) == 0 {
			size = len(n.data)
		}
		after := make([]byte, size)
		copy(after, n.disk)
		for at := 0; at < min(size, len(n.data)); at += modelPage {
			if r.IntN(2) == 0 {
				copy(after[at:min(at+modelPage, size)], n.data[at:])
			}
		}
		n.data, n.disk = after, slices.Clone(after)
		return
	}
	for range n.journal[:r.IntN(len(n.journal)+1)] {
		n.apply()
	}
	n.journal = nil
	n.entries = maps.Clone(n.lasting)
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		cutNode(n.entries[name], r)
	}
}

// apply makes the oldest change of names last.
func (n *node) apply() {
	for name, to := range n.journal[0] {
		if to == nil {
			delete(n.lasting, name)
		} else {
			n.lasting[name] = to
		}
	}
	n.journal = n.journal[1:]
}

func (n *node) change(c map[string]*node) {
	for name, to := range c {
		if to == nil {
			delete(n.entries, name)
		} else {
			n.entries[name] = to
		}
	}
	n.journal = append(n.journal, c)
}

func (m *model) injected(op, name string) error {
	if *m.fail != nil {
		return (*m.fail)(op, name)
	}
	return nil
}

// at finds the directory of a name and the last component.
func (m *model) at(name string) (*node, string, error) {
	dir := m.root
	parts := strings.Split(filepath.ToSlash(filepath.Clean(name)), "/")
	for _, p := range parts[:len(parts)-1] {
		dir = dir.entries[p]
		if dir == nil {
			return nil, "", syscall.ENOENT
		}
		if !dir.dir {
			return nil, "", syscall.ENOTDIR
		}
	}
	return dir, parts[len(parts)-1], nil
}

func (m *model) find(name string) (*node, error) {
	if name == "." {
		return m.root, nil
	}
	dir, base, err := m.at(name)
	if err != nil {
		return nil, err
	}
	if n := dir.entries[base]; n != nil {
		return n, nil
	}
	return nil, syscall.ENOENT
}

func (m *model) open(name string, flag int, _ fs.FileMode) (file, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.injected("open", name); err != nil {
		return nil, err
	}
	dir, base, err := m.at(name)
	if err != nil {
		return nil, err
	}
	n := dir.entries[base]
	if n == nil {
		if flag&os.O_CREATE == 0 {
			return nil, syscall.ENOENT
		}
		n = &node{mtime: m.tick()}
		dir.change(map[string]*node{base: n})
	}
	if flag&os.O_TRUNC != 0 {
		n.data = nil
	}
	return &modelFile{m, n, name}, nil
}

func (m *model) tick() int64 { *m.now++; return *m.now }

func (m *model) lstat(name string) (fs.FileInfo, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	n, err := m.find(name)
	if err != nil {
		return nil, err
	}
	return modelInfo{n, int64(len(n.data)), n.mtime}, nil
}

func (m *model) stat(name string) (fs.FileInfo, error) { return m.lstat(name) }

func (m *model) mkdirAll(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir := m.root
	for p := range strings.SplitSeq(filepath.ToSlash(name), "/") {
		n := dir.entries[p]
		if n == nil {
			n = newDir()
			dir.change(map[string]*node{p: n})
		}
		if !n.dir {
			return syscall.ENOTDIR
		}
		dir = n
	}
	return nil
}

func (m *model) rename(from, to string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.injected("rename", from); err != nil {
		return err
	}
	dir, a, err := m.at(from)
	if err != nil {
		return err
	}
	other, b, err := m.at(to)
	if err != nil {
		return err
	}
	if dir != other {
		panic("renamed to another directory")
	}
	n := dir.entries[a]
	if n == nil {
		return syscall.ENOENT
	}
	dir.change(map[string]*node{a: nil, b: n})
	return nil
}

func (m *model) remove(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	dir, base, err := m.at(name)
	if err != nil {
		return err
	}
	if dir.entries[base] == nil {
		return syscall.ENOENT
	}
	dir.change(map[string]*node{base: nil})
	return nil
}

func (m *model) syncDir(name string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := m.injected("syncdir", name); err != nil {
		return err
	}
	n, err := m.find(name)
	if err != nil {
		return err
	}
	for len(n.journal) > 0 {
		n.apply()
	}
	return nil
}

func (m *model) same(a, b fs.FileInfo) bool { return a.(modelInfo).n == b.(modelInfo).n }
func (m *model) refresh()                   {}

type modelFile struct {
	m    *model
	n    *node
	name string
}

func (f *modelFile) Close() error { return nil }

func (f *modelFile) ReadAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.injected("read", f.name); err != nil {
		return 0, err
	}
	if off >= int64(len(f.n.data)) {
		return 0, io.EOF
	}
	n := copy(b, f.n.data[off:])
	if n < len(b) {
		return n, io.EOF
	}
	return n, nil
}

func (f *modelFile) WriteAt(b []byte, off int64) (int, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.injected("write", f.name); err != nil {
		return 0, err
	}
	if n := int(off) + len(b) - len(f.n.data); n > 0 {
		f.n.data = append(f.n.data, make([]byte, n)...)
	}
	f.n.mtime = f.m.tick()
	return copy(f.n.data[off:], b), nil
}

func (f *modelFile) stat() (fs.FileInfo, error) {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	return modelInfo{f.n, int64(len(f.n.data)), f.n.mtime}, nil
}

func (f *modelFile) truncate(size int64) error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.injected("truncate", f.name); err != nil {
		return err
	}
	f.n.mtime = f.m.tick()
	for int64(len(f.n.data)) < size {
		f.n.data = append(f.n.data, 0)
	}
	f.n.data = f.n.data[:size]
	return nil
}

func (f *modelFile) sync() error {
	f.m.mu.Lock()
	defer f.m.mu.Unlock()
	if err := f.m.injected("sync", f.name); err != nil {
		// As Linux does: what could not be written counts as clean from now
		// on. Here the content on the disk stays old for good unless it is
		// written anew, which this model shows by forgetting nothing: the
		// caller's next write of the same bytes is what a later sync takes.
		return err
	}
	f.n.disk = slices.Clone(f.n.data)
	return nil
}

func (f *modelFile) nextData(off int64) (int64, error) { return off, nil }
func (f *modelFile) willRead(int64, int64)             {}

type modelInfo struct {
	n     *node
	size  int64
	mtime int64
}

func (i modelInfo) Name() string { return "" }
func (i modelInfo) Size() int64  { return i.size }
func (i modelInfo) Mode() fs.FileMode {
	if i.n.dir {
		return fs.ModeDir
	}
	return 0
}
func (i modelInfo) ModTime() time.Time { return time.Unix(0, i.mtime) }
func (i modelInfo) IsDir() bool        { return i.n.dir }
func (i modelInfo) Sys() any           { return nil }
