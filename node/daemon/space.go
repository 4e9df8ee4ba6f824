package daemon

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"

	"seedbed/internal/freespace"
	"seedbed/node"
)

// Space is the space of the file system of a folder, in bytes.
type Space struct{ Free, Total int64 }

const (
	// spaceFor is how long a measured Space counts as the current one.
	spaceFor = 5 * time.Second
	// maxSpaces is how many folders are remembered.
	maxSpaces = 64
	// maxMeasured is how many folders are measured at a time. Each takes a thread while its disk
	// hangs.
	maxMeasured = 16
)

// errMeasuring is the error if maxMeasured folders are being measured.
var errMeasuring = node.NewFault(node.FaultBusy, errors.New("the space in too many other folders is being measured"), "try again later")

// spaces remembers the Space of folders. A disk that hangs blocks at most one goroutine for each
// folder, and clients that poll get the last result.
type spaces struct {
	mu      sync.Mutex
	of      *lru.Cache[string, *measurement]
	running int // measurements
}

// measurement is about one folder. The fields are guarded by spaces.mu.
type measurement struct {
	last     Space
	err      error
	at       time.Time     // zero: never
	measured chan struct{} // closed when the current measurement ends; nil if there is none
}

// FreeSpace returns the space in a folder, which must be an allowed one, or in the folder that
// will contain it. Only the first call for a folder waits for the disk, until ctx ends. Others
// return what was last measured, and measure again in the background.
func (d *Daemon) FreeSpace(ctx context.Context, dir string) (Space, error) {
	if err := checkPath(dir); err != nil {
		return Space{}, err
	}
	s := &d.spaces
	s.mu.Lock()
	m := s.measure(dir, d.allowed())
	measured, isFirst := m.measured, m.at.IsZero()
	s.mu.Unlock()
	if isFirst && measured == nil {
		return Space{}, errMeasuring
	}
	if isFirst {
		select {
		case <-measured:
		case <-ctx.Done():
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if m.at.IsZero() {
		return Space{}, ctx.Err()
	}
	return m.last, m.err
}

// SpaceFor is FreeSpace for the folder of a torrent that would be added with a folder and a category, each of which may
// be "". It also returns that folder.
func (d *Daemon) SpaceFor(ctx context.Context, dir, category string) (string, Space, error) {
	dir = cmp.Or(dir, d.categoryDir(category), d.Dir())
	s, err := d.FreeSpace(ctx, dir)
	return dir, s, err
}

// measure returns the measurement of a folder, and starts one unless the last is recent or too many
// others run. mu is held.
func (s *spaces) measure(dir string, r roots) *measurement {
	if s.of == nil {
		s.of, _ = lru.New[string, *measurement](maxSpaces) // the size is valid
	}
	m, ok := s.of.Get(dir)
	if !ok {
		m = new(measurement)
	}
	if m.measured != nil || time.Since(m.at) < spaceFor && !m.at.IsZero() || s.running >= maxMeasured {
		return m
	}
	s.of.Add(dir, m)
	s.running++
	m.measured = make(chan struct{})
	go func() {
		space, err := spaceIn(dir, r)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.running--
		m.last, m.err, m.at = space, err, time.Now()
		close(m.measured)
		m.measured = nil
	}()
	return m
}

// spaceIn measures the space in a folder or in the nearest one above it that exists.
func spaceIn(dir string, r roots) (Space, error) {
	dir, err := r.check(dir)
	if err != nil {
		return Space{}, err
	}
	for {
		free, total, err := freespace.Of(dir)
		parent := filepath.Dir(dir)
		if !errors.Is(err, fs.ErrNotExist) || parent == dir {
			return Space{free, total}, err
		}
		dir = parent
	}
}
