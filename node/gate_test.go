package node

import (
	"io/fs"
	"os"
	"sync"
	"syscall"

	"seedbed/swarm/storage"
)

// gate is between package storage and the system's disk, and makes operations hang and
// fail.
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
