package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"seedbed/internal/id"
	"seedbed/internal/journal"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
)

// stateDir is the state directory. It contains:
//
//	node.json                  node ids and saved DHT nodes
//	uptime                     how long nodes have run, in nanoseconds (totals.go)
//	node.lock                  held by the process that owns node.json and the session
//	session                    a record of each torrent of the session (record.go)
//	torrents/INFOHASH/lock     held by the process that runs the torrent; not while it is parked
//	torrents/INFOHASH/torrent  the info dictionary, as a .torrent file
//	torrents/INFOHASH/resume   which data package storage has verified
//	torrents/INFOHASH/peers    addresses of peers of the last run
//	torrents/INFOHASH/tally    the totals over all runs, while the swarm runs or after a kill
//
// The session is a journal. The other files are replaced as a whole, by rename; one that does not parse
// is treated as missing, because its content can be obtained again from the network or the disk. A
// damaged record is an error.
type stateDir struct {
	path     string
	torrents string          // the folder "torrents"
	lock     *statefile.Lock // nil if another process owns node.json

	opening sync.Once
	session *journal.Journal // after opening; nil if it cannot be used
	bad     error            // why
}

// newStateDir returns the state directory at path without opening it.
func newStateDir(path string) *stateDir {
	return &stateDir{path: path, torrents: filepath.Join(path, "torrents")}
}

func openState(path string) (*stateDir, error) {
	s := newStateDir(path)
	if err := statefile.MkdirAll(s.torrents); err != nil {
		return nil, stateFault("created", err)
	}
	l, err := statefile.TryLock(filepath.Join(path, "node.lock"))
	if err != nil && !errors.Is(err, statefile.ErrLocked) {
		return nil, stateFault("locked", err)
	}
	s.lock = l
	if s.owned() {
		statefile.Sweep(path)
	}
	return s, nil
}

func (s *stateDir) close() error {
	if s.lock == nil {
		return nil
	}
	var err error
	if s.session != nil {
		err = s.session.Close()
	}
	return errors.Join(err, s.lock.Release())
}

func (s *stateDir) sessionPath() string { return filepath.Join(s.path, "session") }

// records returns the journal of the session. It returns ErrNoSession if another process owns it, and
// ErrUnreadable.
func (s *stateDir) records() (*journal.Journal, error) {
	if !s.owned() {
		return nil, ErrNoSession
	}
	s.opening.Do(func() {
		if s.session, s.bad = journal.Open(s.sessionPath()); s.bad != nil {
			s.bad = unreadable(s.bad)
		}
	})
	return s.session, s.bad
}

// unreadable returns the error about a session that cannot be read.
func unreadable(err error) error {
	hint := "check its disk and its permissions, or choose another state directory with --state"
	var special *statefile.NotRegularError
	if errors.As(err, &special) {
		hint = special.Hint()
	}
	return NewFault(FaultIO, fmt.Errorf("%w: %w", ErrUnreadable, err), hint)
}

// hasRecord reports whether the session has a torrent. The session may be that of another process.
func (s *stateDir) hasRecord(hash id.ID) (bool, error) {
	j, err := s.records()
	switch {
	case errors.Is(err, ErrNoSession):
		return journal.Has(s.sessionPath(), hash)
	case err != nil:
		return false, err
	}
	return j.Has(hash), nil
}

// stateFault returns an error about an unusable state directory; verb is what failed.
func stateFault(verb string, err error) error {
	var special *statefile.NotRegularError
	if errors.As(err, &special) { // its text says what to do
		return fmt.Errorf("the state directory cannot be %s: %w", verb, err)
	}
	return fmt.Errorf("the state directory cannot be %s: %w; choose another with --state", verb, err)
}

// owned reports whether this process holds node.lock, and may write node.json and the session.
func (s *stateDir) owned() bool { return s.lock != nil }

// savedNode is one DHT node to query first in the next run.
type savedNode struct {
	ID   string         `json:"id"`
	Addr netip.AddrPort `json:"addr"`
}

type nodeFile struct {
	ID4   string      `json:"id4,omitempty"`
	ID6   string      `json:"id6,omitempty"`
	Nodes []savedNode `json:"nodes"`
}

func (s *stateDir) loadNode() (f nodeFile) {
	b, err := statefile.Read(filepath.Join(s.path, "node.json"))
	if err != nil || json.Unmarshal(b, &f) != nil {
		return nodeFile{}
	}
	return f
}

func (s *stateDir) saveNode(f nodeFile) error {
	b, err := json.MarshalIndent(f, "", " ")
	if err != nil {
		return err
	}
	return statefile.WriteSync(filepath.Join(s.path, "node.json"), b)
}

// torrentState is the folder of one torrent in the state directory. Only the torrent's worker
// opens and closes it.
type torrentState struct {
	dir  *stateDir
	hash id.ID
	lock *statefile.Lock // nil while the folder is not open
}

// ErrLocked is the error if another process with the same state directory runs the torrent.
var ErrLocked = errors.New("another seedbed process with the same state directory has this torrent open")

// torrent returns the folder of a torrent without opening it.
func (s *stateDir) torrent(infohash id.ID) *torrentState {
	return &torrentState{dir: s, hash: infohash}
}

// openTorrent opens the folder of a torrent.
func (s *stateDir) openTorrent(infohash id.ID) (*torrentState, error) {
	t := s.torrent(infohash)
	return t, t.open()
}

// open creates the folder and takes its lock, unless it is open. It returns ErrLocked if
// another process has the lock.
func (t *torrentState) open() (err error) {
	if t.lock == nil {
		t.lock, err = lockFolder(t.path(), ErrLocked)
	}
	return err
}

// openExisting is open that leaves a folder that does not exist as it is.
func (t *torrentState) openExisting() error {
	if _, err := os.Lstat(t.path()); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return t.open()
}

// close releases the lock and its descriptor.
func (t *torrentState) close() error {
	if t.lock == nil {
		return nil
	}
	err := t.lock.Release()
	t.lock = nil
	return err
}

// lockFolder creates a folder of the state directory and takes its lock. It returns held
// if another process has the lock.
func lockFolder(path string, held error) (*statefile.Lock, error) {
	l, err := statefile.TryLock(filepath.Join(path, lockName))
	if errors.Is(err, fs.ErrNotExist) {
		if err := statefile.MkdirAll(path); err != nil {
			return nil, stateFault("written", err)
		}
		l, err = statefile.TryLock(filepath.Join(path, lockName))
	}
	switch {
	case errors.Is(err, statefile.ErrLocked):
		return nil, held
	case err != nil:
		return nil, stateFault("locked", err)
	}
	return l, nil
}

// The files of the folder that adding a torrent writes.
const (
	lockName    = "lock"
	torrentName = "torrent"
)

// path returns the path of the folder. It is not kept, because it is longer than the rest of
// what a parked torrent needs here.
func (t *torrentState) path() string        { return filepath.Join(t.dir.torrents, t.hash.String()) }
func (t *torrentState) resumePath() string  { return t.file("resume") }
func (t *torrentState) torrentPath() string { return t.file(torrentName) }
func (t *torrentState) peersPath() string   { return t.file("peers") }
func (t *torrentState) tallyPath() string   { return t.file("tally") }

// file returns the path of a file in the folder. It does not clean the path as filepath.Join does: a start with
// 100,000 torrents needs half a million of them.
func (t *torrentState) file(name string) string {
	const slash = string(filepath.Separator)
	return t.dir.torrents + slash + t.hash.String() + slash + name
}

// loadInfo returns the info dictionary if it is known from the spec or from an
// earlier run.
func (t *torrentState) loadInfo(spec *Spec) *metainfo.Info {
	if spec.Torrent != nil {
		return spec.Torrent.Info
	}
	saved := t.loadTorrent(nil)
	if saved == nil || !spec.matches(saved.Info) {
		return nil
	}
	return saved.Info
}

// loadTorrent returns the saved torrent, or nil if there is none that has all of
// these infohashes.
func (t *torrentState) loadTorrent(hashes []id.ID) *metainfo.Torrent {
	saved := readTorrent(t.torrentPath())
	if saved == nil {
		return nil
	}
	have := hashesOf(saved.Info)
	for _, h := range hashes {
		if !slices.Contains(have, h) {
			return nil
		}
	}
	return saved
}

// readTorrent returns the torrent file at path, or nil if it is missing or invalid.
func readTorrent(path string) *metainfo.Torrent {
	b, err := statefile.Read(path)
	if err != nil {
		return nil
	}
	t, err := metainfo.ParseTorrent(b)
	if err != nil {
		return nil
	}
	return t
}

// keepTorrent saves a torrent if it is not saved yet.
func (t *torrentState) keepTorrent(torrent *metainfo.Torrent) error {
	if t.hasTorrent(torrent) {
		return nil
	}
	if saved := t.loadTorrent(hashesOf(torrent.Info)); saved != nil {
		return nil
	}
	return statefile.Write(t.torrentPath(), torrent.Append(nil))
}

// hasTorrent reports whether exactly this torrent is saved.
func (t *torrentState) hasTorrent(torrent *metainfo.Torrent) bool {
	saved, err := statefile.Read(t.torrentPath())
	return err == nil && bytes.Equal(saved, torrent.Append(nil))
}

// isUnfinished reports whether the folder holds nothing but what adding a torrent writes before
// the record is complete. The metadata alone is no loss: it came with the torrent, or its peers
// have it.
func (t *torrentState) isUnfinished() bool {
	if has, err := t.dir.hasRecord(t.hash); has || err != nil {
		return false
	}
	entries, err := os.ReadDir(t.path())
	if err != nil {
		return false
	}
	for _, e := range entries {
		if name := e.Name(); name != lockName && name != torrentName && name != oldNewRecordName && !statefile.IsTemporary(name) {
			return false
		}
	}
	return true
}

// sweepUnfinished deletes the folder of a torrent that was being added when the process was
// killed, or shortly before a power cut. It leaves any other folder, and one that another process uses.
func (t *torrentState) sweepUnfinished() error {
	if !t.isUnfinished() {
		return nil
	}
	if err := t.open(); err != nil {
		if errors.Is(err, ErrLocked) {
			return nil
		}
		return err
	}
	if !t.isUnfinished() { // another process has used it before we had the lock
		return t.close()
	}
	return t.remove()
}

// remove deletes the folder, which is open or did not exist. It renames the folder first, so that after a
// kill it is either complete or sweepRemoved deletes it. It returns ErrLocked if another process has created
// the folder meanwhile.
func (t *torrentState) remove() error {
	err := t.openExisting() // on a full disk a missing lock cannot be created
	if errors.Is(err, ErrLocked) || err == nil && t.lock == nil {
		return err
	}
	gone := t.path() + removedSuffix
	if err := errors.Join(t.close(), os.RemoveAll(gone)); err != nil {
		return err
	}
	if err := os.Rename(t.path(), gone); err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return err
	}
	return errors.Join(statefile.SyncDir(filepath.Dir(gone)), os.RemoveAll(gone))
}
