package node

import (
	"sync"
	"time"
)

// mounts finds out where download folders are mounted. It does not wait for a disk that hangs: it
// then returns what was last known.
type mounts struct {
	find func(dir string) string

	mu    sync.Mutex
	byDir map[string]*mountLookup
}

// mountLookup is what is known about one folder.
type mountLookup struct {
	mount string        // of the last lookup that has ended; "" if there is none
	done  chan struct{} // closed when the current lookup ends; nil if there is none
	hangs bool          // the current lookup has taken longer than mountPatience
	ended time.Time     // when the last lookup ended
}

const (
	// mountPatience is how long a caller waits for the disk of a folder that worked before.
	mountPatience = 10 * time.Millisecond
	// mountFresh is how long the result of a lookup is used again. Programs add thousands of
	// torrents to one folder at a time.
	mountFresh = time.Second
	// maxMounts limits the folders that are remembered while none is looked up.
	maxMounts = 256
)

// of returns the folder in which the file system of dir is mounted, or "" if that is not known; see
// mountOf.
func (m *mounts) of(dir string) string {
	m.mu.Lock()
	l := m.byDir[dir]
	if l == nil {
		l = m.remember(dir)
	}
	if l.done == nil && l.mount != "" && time.Since(l.ended) < mountFresh {
		mount := l.mount
		m.mu.Unlock()
		return mount
	}
	if l.done == nil {
		l.done, l.hangs = make(chan struct{}), false
		go m.look(dir, l)
	}
	done, hangs := l.done, l.hangs
	m.mu.Unlock()
	isLate := false
	if !hangs {
		timer := time.NewTimer(mountPatience)
		defer timer.Stop()
		select {
		case <-done:
		case <-timer.C:
			isLate = true
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if isLate && l.done == done {
		l.hangs = true
	}
	return l.mount
}

// remember adds a folder, and forgets all others if there are too many. mu is held.
func (m *mounts) remember(dir string) *mountLookup {
	if m.byDir == nil {
		m.byDir = map[string]*mountLookup{}
	}
	if len(m.byDir) >= maxMounts {
		for d, l := range m.byDir {
			if l.done == nil {
				delete(m.byDir, d)
			}
		}
	}
	l := &mountLookup{}
	m.byDir[dir] = l
	return l
}

func (m *mounts) look(dir string, l *mountLookup) {
	mount := m.find(dir)
	m.mu.Lock()
	defer m.mu.Unlock()
	l.mount, l.ended = mount, time.Now()
	close(l.done)
	l.done = nil
}
