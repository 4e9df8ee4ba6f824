package node

import (
	"io/fs"
	"path/filepath"
	"sync"

	"seedbed/internal/simnet"
	"seedbed/swarm/storage"
)

// disks are the folders of a machine in memory; they can hang, fail and be full.
type disks struct {
	disk *simnet.Disk // of everything

	waiting chan struct{} // receives a value when an operation has to wait

	mu   sync.Mutex
	hung map[string]chan struct{} // by folder: closed when it works again
}

func newDisks() *disks {
	return &disks{disk: simnet.NewDisk(), waiting: make(chan struct{}, 1), hung: map[string]chan struct{}{}}
}

// on is an option: the node keeps files and resume records in d.
func (d *disks) on(c *Config) { c.openDisk = d.open }

func (d *disks) open(dir string, _ bool) (storage.Disk, error) {
	d.wait(dir)
	return hangingDisk{simDisk{d.disk.Sub(filepath.ToSlash(dir))}, d, dir}, nil
}

// hang makes every operation in a folder wait until the function that it returns is called.
func (d *disks) hang(dir string) (release func()) {
	d.mu.Lock()
	defer d.mu.Unlock()
	c := make(chan struct{})
	d.hung[dir] = c
	return func() {
		d.mu.Lock()
		defer d.mu.Unlock()
		delete(d.hung, dir)
		close(c)
	}
}

func (d *disks) wait(dir string) {
	d.mu.Lock()
	c := d.hung[dir]
	d.mu.Unlock()
	if c != nil {
		nudge(d.waiting)
		<-c
	}
}

type simDisk struct{ *simnet.Disk }

func (d simDisk) Open(name string, flag int, perm fs.FileMode) (storage.File, error) {
	f, err := d.Disk.Open(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// hangingDisk is one folder of disks.
type hangingDisk struct {
	simDisk
	all *disks
	dir string
}

func (d hangingDisk) Open(name string, flag int, perm fs.FileMode) (storage.File, error) {
	d.all.wait(d.dir)
	f, err := d.Disk.Open(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return hangingFile{f, d}, nil
}

// hangingFile is a file of a hangingDisk. Its reads wait too.
type hangingFile struct {
	*simnet.DiskFile
	in hangingDisk
}

func (f hangingFile) ReadAt(b []byte, off int64) (int, error) {
	f.in.all.wait(f.in.dir)
	return f.DiskFile.ReadAt(b, off)
}

func (d hangingDisk) Lstat(name string) (fs.FileInfo, error) {
	d.all.wait(d.dir)
	return d.simDisk.Lstat(name)
}

func (d hangingDisk) SyncDir(name string) error {
	d.all.wait(d.dir)
	return d.simDisk.SyncDir(name)
}

func (d hangingDisk) Rename(from, to string) error {
	d.all.wait(d.dir)
	return d.simDisk.Rename(from, to)
}

func (d hangingDisk) Remove(name string) error {
	d.all.wait(d.dir)
	return d.simDisk.Remove(name)
}
