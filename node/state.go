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

// A stateDir is what outlives the process:
//
//	node.json                  node ids and saved DHT nodes
//	node.lock                  held by the process that owns node.json
//	torrents/INFOHASH/lock     held by the process that runs the torrent; not while it is parked
//	torrents/INFOHASH/torrent  the info dictionary, as a .torrent file
//	torrents/INFOHASH/resume   what storage has proven
//	torrents/INFOHASH/peers    addresses that were peers in the last run
//	torrents/INFOHASH/tally    what was uploaded in all runs
//	torrents/INFOHASH/record   what the session keeps of it (record.go)
//
// Files are replaced whole, by rename; a file that does not parse is treated
// as absent, for all of them can be had again from the network or the disk.
type stateDir struct {
	path string
	lock *statefile.Lock // held, or nil: another process owns node.json
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

// stateFault says that the state directory cannot be used; verb is what failed.
func stateFault(verb string, err error) error {
	var special *statefile.NotRegularError
	if errors.As(err, &special) { // it has a hint of its own
		return fmt.Errorf("the state directory cannot be %s: %w", verb, err)
	}
	return fmt.Errorf("the state directory cannot be %s: %w; choose another with --state", verb, err)
}

// owned reports whether this process may write node.json.
func (s *stateDir) owned() bool { return s.lock != nil }

// savedNode is one DHT node worth asking first next time.
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

// torrentState is one torrent's folder in the state directory. The torrent's worker alone
// opens and closes it.
type torrentState struct {
	path string
	lock *statefile.Lock // held while the folder is open; nil while it is not
}

// ErrLocked is a torrent that another process with the same state directory runs.
var ErrLocked = errors.New("another seedbed process with the same state directory has this torrent open")

// torrent returns the folder of a torrent, not open.
func (s *stateDir) torrent(infohash id.ID) *torrentState {
	return &torrentState{path: filepath.Join(s.path, "torrents", infohash.String())}
}

// openTorrent opens the folder of a torrent.
func (s *stateDir) openTorrent(infohash id.ID) (*torrentState, error) {
	t := s.torrent(infohash)
	return t, t.open()
}

// open makes the folder and takes its lock, unless it is open. ErrLocked says that another
// process has it.
func (t *torrentState) open() (err error) {
	if t.lock == nil {
		t.lock, err = lockFolder(t.path, ErrLocked)
	}
	return err
}

// close frees the lock and its descriptor.
func (t *torrentState) close() error {
	if t.lock == nil {
		return nil
	}
	err := t.lock.Release()
	t.lock = nil
	return err
}

// lockFolder makes a folder of the state directory and takes its lock; held is the
// error where another process has it.
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

// loadInfo is the info dictionary of spec if it is known: from the spec, or
// from an earlier run.
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

// loadTorrent is the saved torrent, or nil if there is none; it must have all of
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

// readTorrent is the torrent file at path, or nil if there is none that parses.
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
