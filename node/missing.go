package node

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"sync"

	"seedbed/node/lifecycle"
	"seedbed/swarm/storage"
)

// A torrent of the session is Missing while none of its data exists: the folder was renamed or
// deleted, or its disk is not mounted. This is noticed when a torrent starts, when it reads or writes
// (run.paused), and by the checks of the download folders in this file, because open files keep
// working after their folder was renamed. A torrent that is Missing goes on when its data is back
// (heal.go). Its resume record has not changed, so nothing is hashed again. In the meantime nothing is
// downloaded into the empty folder in which the disk would be mounted. Recheck accepts that the data
// is gone.

const (
	// missingEvery is the number of checks of an unchanged folder after which the data of its
	// Missing torrents is looked for again: a subfolder may have changed.
	missingEvery = 10
	// looksAtOnce limits the folders that are checked at the same time: some may be on disks that
	// hang.
	looksAtOnce = 64
)

// downloadFolders is what is known about the download folders.
type downloadFolders struct {
	mu     sync.Mutex
	byPath map[string]*downloadFolder
	looks  int           // checks that have not ended
	heals  chan struct{} // has an element for each torrent that starts because its data is back
}

// downloadFolder is one of them. While it is being checked, only that check uses it.
type downloadFolder struct {
	isBusy  bool        // guarded by downloadFolders.mu
	isKnown bool        // it was checked before
	info    fs.FileInfo // at the last check; nil if it did not exist
	age     int         // checks since the data of the Missing torrents was looked for
}

// lookAtFolders starts a check of the folder of each torrent that runs, is parked or is Missing. If
// nothing has changed, a check costs one stat.
func (n *Node) lookAtFolders() {
	byPath := map[string][]*Torrent{}
	for _, t := range n.running() {
		if t.inSession() && (t.run.Load() != nil || t.isParked() || t.isMissing()) {
			if spec := t.spec(); !spec.Objects {
				byPath[spec.Dir] = append(byPath[spec.Dir], t)
			}
		}
	}
	f := &n.folders
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.byPath == nil {
		f.byPath, f.heals = map[string]*downloadFolder{}, make(chan struct{}, healsAtOnce)
	}
	for path, d := range f.byPath {
		if byPath[path] == nil && !d.isBusy {
			delete(f.byPath, path)
		}
	}
	for path, ts := range byPath {
		d := f.byPath[path]
		if d == nil {
			d = new(downloadFolder)
			f.byPath[path] = d
		}
		if d.isBusy || f.looks == looksAtOnce {
			continue
		}
		d.isBusy = true
		f.looks++
		go func() {
			n.lookAt(path, d, ts)
			f.mu.Lock()
			defer f.mu.Unlock()
			d.isBusy = false
			f.looks--
		}()
	}
}

// lookAt checks one folder, and the files of its torrents if the folder has changed since the last
// check.
func (n *Node) lookAt(path string, d *downloadFolder, ts []*Torrent) {
	now, err := n.cfg.stat(path)
	if errors.Is(err, fs.ErrPermission) || n.ctx.Err() != nil {
		return
	}
	if err != nil {
		now = nil
	}
	was := d.info
	hasChanged := !d.isKnown || (was == nil) != (now == nil) || now != nil && (!os.SameFile(was, now) || !now.ModTime().Equal(was.ModTime()))
	isOther := was != nil && now != nil && !os.SameFile(was, now)
	d.info, d.isKnown = now, true
	if d.age++; hasChanged || d.age >= missingEvery {
		d.age = 0
	}
	back := healing{node: n}
	defer back.finish()
	for _, t := range ts {
		switch isMissing := t.isMissing(); {
		case isMissing && d.age == 0 && !t.lacksData():
			back.add(t)
		case !isMissing && hasChanged:
			r := t.run.Load()
			if r == nil {
				// The files of a parked torrent are not open. They are looked for only if the folder is
				// gone or is another one, as without its disk.
				if t.isParked() && t.spec().Dir == path && (now == nil || isOther && t.lacksData()) {
					t.fail(t.missingFault())
				}
				continue
			}
			s := r.storage.Load()
			if s != nil && s.LookIfGone() || isOther && t.lacksData() {
				t.fail(t.missingFault())
			}
		}
	}
}

// isParked reports whether the torrent is parked.
func (t *Torrent) isParked() bool {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	return t.control.state.Phase == lifecycle.Parked
}

// isMissing reports whether the torrent is waiting for its data to come back.
func (t *Torrent) isMissing() bool {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	var f *Fault
	return t.control.state.Phase == lifecycle.Missing && errors.As(t.control.failure, &f) && f.Kind == FaultMissing
}

// lacksData reports whether the data of the torrent is missing. It waits for the disk.
func (t *Torrent) lacksData() bool {
	info, spec := t.Info(), t.spec()
	return !spec.Objects && info != nil && t.isDataMissing(t.storageOptions(&spec, info))
}

// isDataMissing reports whether everything is missing that a torrent of the session has downloaded. If
// it has downloaded nothing, isDataMissing reports whether the disk is not mounted on which its folder
// was when the torrent was added.
func (t *Torrent) isDataMissing(o storage.Options) bool {
	if storage.IsMissing(o) {
		return true
	}
	t.control.mu.Lock()
	was := ""
	if t.control.entry != nil {
		was = t.control.entry.mount.Value()
	}
	t.control.mu.Unlock()
	if was == "" {
		return false
	}
	now := t.node.cfg.mountOf(o.Dir)
	isAbove := now == "/" && was != "/" || now != "" && strings.HasPrefix(was, now+"/")
	return isAbove && storage.RecordedPieces(o.Record, o.Info).Count() == 0
}

func (t *Torrent) missingFault() error {
	return &Fault{Kind: FaultMissing, Err: fmt.Errorf("the data of %s is not in %s", t.Name(), displayDir(t.spec().Dir)),
		hint: "mount the disk or put the data back, and the torrent continues; to download it again, recheck the torrent"}
}
