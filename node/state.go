package node

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"path/filepath"
	"slices"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
)

// A stateDir holds the state that outlives the process:
//
//	node.json                  node ids and saved DHT nodes
//	node.lock                  held by the process that owns node.json
//	torrents/INFOHASH/lock     held by the process that runs the torrent; not while it is parked
//	torrents/INFOHASH/torrent  the info dictionary, as a .torrent file
//	torrents/INFOHASH/resume   which data storage has proven
//	torrents/INFOHASH/peers    addresses that were peers in the last run
//	torrents/INFOHASH/tally    bytes uploaded over all runs
//	torrents/INFOHASH/record   what the session saves of the torrent (record.go)
//
// Files are replaced as a whole, by rename. A file that does not parse is treated
// as absent, because the network or the disk can provide its content again.
type stateDir struct {
	path string
	lock *statefile.Lock // nil if another process owns node.json
}

func openState(path string) (*stateDir, error) {
	if err := statefile.MkdirAll(filepath.Join(path, "torrents")); err != nil {
		return nil, stateFault("created", err)
	}
	s := &stateDir{path: path}
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
	return s.lock.Release()
}

// stateFault returns an error about an unusable state directory; verb is what failed.
func stateFault(verb string, err error) error {
	var special *statefile.NotRegularError
	if errors.As(err, &special) { // it has its own hint
		return fmt.Errorf("the state directory cannot be %s: %w", verb, err)
	}
	return fmt.Errorf("the state directory cannot be %s: %w; choose another with --state", verb, err)
}

// owned reports whether this process may write node.json.
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
	path string
	lock *statefile.Lock // nil while the folder is not open
}

// ErrLocked is returned if another process with the same state directory runs the torrent.
var ErrLocked = errors.New("another seedbed process with the same state directory has this torrent open")

// torrent returns the folder of a torrent without opening it.
func (s *stateDir) torrent(infohash id.ID) *torrentState {
	return &torrentState{path: filepath.Join(s.path, "torrents", infohash.String())}
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
		t.lock, err = lockFolder(t.path, ErrLocked)
	}
	return err
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
	if err := statefile.MkdirAll(path); err != nil {
		return nil, stateFault("written", err)
	}
	l, err := statefile.TryLock(filepath.Join(path, "lock"))
	switch {
	case errors.Is(err, statefile.ErrLocked):
		return nil, held
	case err != nil:
		return nil, stateFault("locked", err)
	}
	return l, nil
}

func (t *torrentState) resumePath() string  { return filepath.Join(t.path, "resume") }
func (t *torrentState) torrentPath() string { return filepath.Join(t.path, "torrent") }
func (t *torrentState) peersPath() string   { return filepath.Join(t.path, "peers") }
func (t *torrentState) tallyPath() string   { return filepath.Join(t.path, "tally") }
func (t *torrentState) recordPath() string  { return filepath.Join(t.path, "record") }

// loadInfo returns the info dictionary if it is known from the spec or from an
// earlier run.
func (t *torrentState) loadInfo(spec *Spec) *metainfo.Info {
	if spec.Torrent != nil {
		return spec.Torrent.Info
	}
	saved := t.loadTorrent(nil)
	if saved == nil || !spec.names(saved.Info) {
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
	b := torrent.Append(nil)
	if saved, err := statefile.Read(t.torrentPath()); err == nil && bytes.Equal(saved, b) {
		return nil
	}
	if saved := t.loadTorrent(hashesOf(torrent.Info)); saved != nil {
		return nil
	}
	return statefile.Write(t.torrentPath(), b)
}
