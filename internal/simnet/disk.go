package simnet

import (
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
)

// Disk is a directory in memory with no more guarantees than POSIX gives. Content is
// durable after Sync; before, pages may reach the disk in any order. Names are durable
// after SyncDir, for each directory separately. Cut discards the rest. The disk can be
// full, and any operation can be made to fail.
type Disk struct {
	*volume
	root *inode
}

// volume is the state that all directories of a disk share.
type volume struct {
	mu        sync.Mutex
	now       int64
	fail      func(op, name string) error
	freeBytes int64 // free bytes; negative means no limit

	coarse bool // all events have the same time

	moves []diskMove // between directories, since the last Cut
}

// diskMove is a rename from one directory to another. After a power cut the file has at least one
// of both names, as on a file system with a journal.
type diskMove struct {
	n        *inode
	from, to *inode
	a, b     string // its names there
}

type inode struct {
	dir     bool
	mtime   int64
	data    []byte            // content as the system shows it
	disk    []byte            // content on the disk
	pages   map[int64]bool    // allocated pages
	entries map[string]*inode // names as the system shows them
	durable map[string]*inode // names on the disk
	journal []map[string]*inode
}

// diskPage is the unit that is written or lost as a whole: 4 KiB.
const diskPage = 4 << 10

// NewDisk returns an empty disk without a limit.
func NewDisk() *Disk { return &Disk{&volume{freeBytes: -1}, newDir()} }

func newDir() *inode {
	return &inode{dir: true, entries: map[string]*inode{}, durable: map[string]*inode{}}
}

// Sub returns the directory with this name, which is created durably if it does not exist.
func (d *Disk) Sub(name string) *Disk {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.root.entries[name]
	if n == nil {
		n = newDir()
		d.root.entries[name], d.root.durable[name] = n, n
	}
	return &Disk{d.volume, n}
}

// SetFail makes operations fail for which f returns an error: open, rename, read, write,
// truncate, sync, syncdir. A nil f ends this.
func (d *Disk) SetFail(f func(op, name string) error) {
	d.mu.Lock()
	d.fail = f
	d.mu.Unlock()
}

// SetFree sets the number of free bytes; a negative number means no limit.
func (d *Disk) SetFree(n int64) {
	d.mu.Lock()
	d.freeBytes = n
	d.mu.Unlock()
}

// Cut simulates a power failure: random decides what is left of unsynced data.
func (d *Disk) Cut(random *rand.Rand) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.root.cutNames(random)
	for _, m := range slices.Backward(d.moves) {
		if m.from.durable[m.a] == nil && !d.root.keeps(m.n) && d.root.keeps(m.from) {
			m.from.durable[m.a] = m.n
		}
	}
	d.moves = nil
	d.root.cut(random)
}

// keeps reports whether x is the directory or is durably below it.
func (n *inode) keeps(x *inode) bool {
	if n == x {
		return true
	}
	for _, e := range n.durable {
		if e.keeps(x) {
			return true
		}
	}
	return false
}

// cutNames decides which names of the directory and of those below it are left.
func (n *inode) cutNames(random *rand.Rand) {
	below := map[*inode]bool{}
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		below[n.entries[name]] = true
		if n.entries[name].dir {
			n.entries[name].cutNames(random)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(n.durable)) { // that were moved or removed
		if e := n.durable[name]; e.dir && !below[e] {
			e.cutNames(random)
		}
	}
	for range n.journal[:random.IntN(len(n.journal)+1)] {
		n.apply()
	}
	n.journal = nil
}

func (n *inode) cut(random *rand.Rand) {
	if !n.dir {
		size := len(n.disk)
		if random.IntN(2) == 0 {
			size = len(n.data)
		}
		after := make([]byte, size)
		copy(after, n.disk)
		for at := 0; at < min(size, len(n.data)); at += diskPage {
			if random.IntN(2) == 0 {
				copy(after[at:min(at+diskPage, size)], n.data[at:])
			}
		}
		n.data, n.disk = after, slices.Clone(after)
		return
	}
	n.entries = maps.Clone(n.durable)
	for _, name := range slices.Sorted(maps.Keys(n.entries)) {
		n.entries[name].cut(random)
	}
}

// apply makes the oldest change of names durable.
func (n *inode) apply() {
	for name, to := range n.journal[0] {
		if to == nil {
			delete(n.durable, name)
		} else {
			n.durable[name] = to
		}
	}
	n.journal = n.journal[1:]
}

func (n *inode) change(c map[string]*inode) {
	for name, to := range c {
		if to == nil {
			delete(n.entries, name)
		} else {
			n.entries[name] = to
		}
	}
	n.journal = append(n.journal, c)
}

func (v *volume) injected(op, name string) error {
	if v.fail != nil {
		return v.fail(op, name)
	}
	return nil
}

// SetCoarse stops the clock that stamps files, as a coarse clock does between its ticks.
func (d *Disk) SetCoarse() {
	d.mu.Lock()
	d.coarse = true
	d.mu.Unlock()
}

func (v *volume) tick() int64 {
	if !v.coarse {
		v.now++
	}
	return v.now
}

// at returns the directory of a name and the last component.
func (d *Disk) at(name string) (*inode, string, error) {
	dir := d.root
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

func (d *Disk) find(name string) (*inode, error) {
	if name == "." {
		return d.root, nil
	}
	dir, base, err := d.at(name)
	if err != nil {
		return nil, err
	}
	if n := dir.entries[base]; n != nil {
		return n, nil
	}
	return nil, syscall.ENOENT
}

// Open opens or creates a file as os.OpenFile does.
func (d *Disk) Open(name string, flag int, _ fs.FileMode) (*DiskFile, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.injected("open", name); err != nil {
		return nil, err
	}
	dir, base, err := d.at(name)
	if err != nil {
		return nil, err
	}
	n := dir.entries[base]
	if n != nil && flag&os.O_EXCL != 0 {
		return nil, syscall.EEXIST
	}
	if n == nil {
		if flag&os.O_CREATE == 0 {
			return nil, syscall.ENOENT
		}
		n = &inode{mtime: d.tick(), pages: map[int64]bool{}}
		dir.change(map[string]*inode{base: n})
	}
	if flag&os.O_TRUNC != 0 {
		n.data = nil
		d.free(n, 0)
	}
	return &DiskFile{d, n, name}, nil
}

// Lstat is like os.Lstat; the disk has no symbolic links.
func (d *Disk) Lstat(name string) (fs.FileInfo, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n, err := d.find(name)
	if err != nil {
		return nil, err
	}
	return inodeInfo{n, int64(len(n.data)), n.mtime}, nil
}

// Stat is the same as Lstat.
func (d *Disk) Stat(name string) (fs.FileInfo, error) { return d.Lstat(name) }

// Names returns the names in a directory, sorted.
func (d *Disk) Names(dir string) ([]string, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	n := d.root
	if dir != "." {
		var err error
		if n, err = d.find(dir); err != nil {
			return nil, err
		}
	}
	return slices.Sorted(maps.Keys(n.entries)), nil
}

// MkdirAll creates a directory and its parents.
func (d *Disk) MkdirAll(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir := d.root
	for p := range strings.SplitSeq(filepath.ToSlash(name), "/") {
		n := dir.entries[p]
		if n == nil {
			n = newDir()
			dir.change(map[string]*inode{p: n})
		}
		if !n.dir {
			return syscall.ENOTDIR
		}
		dir = n
	}
	return nil
}

// Rename renames a file or a directory.
func (d *Disk) Rename(from, to string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.injected("rename", from); err != nil {
		return err
	}
	dir, a, err := d.at(from)
	if err != nil {
		return err
	}
	other, b, err := d.at(to)
	if err != nil {
		return err
	}
	n := dir.entries[a]
	if n == nil {
		return syscall.ENOENT
	}
	if n.contains(other) {
		return syscall.EINVAL
	}
	if old := other.entries[b]; old != nil && old != n {
		d.free(old, 0)
	}
	if dir == other {
		dir.change(map[string]*inode{a: nil, b: n})
		return nil
	}
	dir.change(map[string]*inode{a: nil})
	other.change(map[string]*inode{b: n})
	d.moves = append(d.moves, diskMove{n, dir, other, a, b})
	return nil
}

// contains reports whether dir is the directory or is below it.
func (n *inode) contains(dir *inode) bool {
	if n == dir {
		return true
	}
	for _, e := range n.entries {
		if e.contains(dir) {
			return true
		}
	}
	return false
}

// Remove removes a name.
func (d *Disk) Remove(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	dir, base, err := d.at(name)
	if err != nil {
		return err
	}
	n := dir.entries[base]
	if n == nil {
		return syscall.ENOENT
	}
	if len(n.entries) > 0 {
		return syscall.ENOTEMPTY
	}
	d.free(n, 0)
	dir.change(map[string]*inode{base: nil})
	return nil
}

// Symlink fails: the disk has no symbolic links.
func (d *Disk) Symlink(string, string) error { return syscall.ENOTSUP }

// Readlink fails.
func (d *Disk) Readlink(string) (string, error) { return "", syscall.EINVAL }

// SyncDir makes the names in a directory durable.
func (d *Disk) SyncDir(name string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.injected("syncdir", name); err != nil {
		return err
	}
	n, err := d.find(name)
	if err != nil {
		return err
	}
	for len(n.journal) > 0 {
		n.apply()
	}
	return nil
}

// SyncAll makes the content and names below the directory durable. If it fails, the disk
// is unchanged.
func (d *Disk) SyncAll() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if err := d.injected("sync", "."); err != nil {
		return err
	}
	d.root.sync()
	return nil
}

func (n *inode) sync() {
	if !n.dir {
		n.disk = slices.Clone(n.data)
		return
	}
	for len(n.journal) > 0 {
		n.apply()
	}
	for _, e := range n.entries {
		e.sync()
	}
}

// Same reports whether two infos describe the same file.
func (d *Disk) Same(a, b fs.FileInfo) bool { return a.(inodeInfo).n == b.(inodeInfo).n }

// SteadyTimes returns true: a file's time changes only with writes and truncations.
func (d *Disk) SteadyTimes() bool { return true }

// Refresh does nothing.
func (d *Disk) Refresh() {}

// free frees the pages from offset size on.
func (v *volume) free(n *inode, size int64) {
	for p := range n.pages {
		if p*diskPage >= size {
			delete(n.pages, p)
			if v.freeBytes >= 0 {
				v.freeBytes += diskPage
			}
		}
	}
}

// take allocates a page, and returns false if the disk is full.
func (v *volume) take(n *inode, page int64) bool {
	if n.pages[page] {
		return true
	}
	if v.freeBytes >= 0 {
		if v.freeBytes < diskPage {
			return false
		}
		v.freeBytes -= diskPage
	}
	n.pages[page] = true
	return true
}
