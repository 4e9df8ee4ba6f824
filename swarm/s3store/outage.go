package s3store

import (
	"fmt"
	"time"

	"seedbed/internal/objectstore"
	"seedbed/swarm/storage"
)

// A store may refuse to send an object for a while: the credentials have expired, or somebody has changed a policy of the bucket.
// For those who want the data, that is the same as a store that does not answer, except that it says so at once, and maybe only of
// some objects.

const (
	// refusedTime is how long a unit is not asked for that the store has refused to send.
	refusedTime = 5 * time.Second
	// maxRefused is how many such units a torrent remembers.
	maxRefused = 4096
	// warnPause is the pause after a warning of one kind, for all torrents of a node.
	warnPause = 10 * time.Minute
)

// isRefusal reports whether an error says that the store does not send what it may send later.
func isRefusal(err error) bool {
	switch objectstore.KindOf(err) {
	case objectstore.Denied, objectstore.Unsupported, objectstore.Elsewhere:
		return true
	}
	return false
}

// refuse records that the store refuses to send a unit. It returns the error for those who wait, which wraps storage.ErrAway.
func (s *Storage) refuse(unit int, err error) error {
	s.mu.Lock()
	if len(s.refused) >= maxRefused {
		clear(s.refused)
	}
	s.refused[unit] = time.Now().Add(refusedTime)
	s.mu.Unlock()
	s.warn(err)
	return fmt.Errorf("%w: %w", storage.ErrAway, err)
}

// isRefused reports whether the store has refused to send a unit shortly before. mu is held.
func (s *Storage) isRefused(unit int) bool {
	until, ok := s.refused[unit]
	if ok && !time.Now().Before(until) {
		delete(s.refused, unit)
		return false
	}
	return ok
}

// warn reports why the store cannot be read, once until it can be.
func (s *Storage) warn(err error) {
	kind := objectstore.KindOf(err)
	s.mu.Lock()
	isNew := s.o.Warn != nil && s.warned != kind && s.shared.mayWarn(kind)
	if isNew {
		s.warned = kind
	}
	s.mu.Unlock()
	if isNew {
		s.o.Warn(fmt.Errorf("cannot read from the store now; it is tried again: %w", err))
	}
}

// mayWarn reports whether there was no warning of a kind for a while.
func (s *Shared) mayWarn(kind objectstore.Kind) bool {
	s.warnings.Lock()
	defer s.warnings.Unlock()
	now := time.Now()
	if last, ok := s.lastWarning[kind]; ok && now.Sub(last) < warnPause {
		return false
	}
	s.lastWarning[kind] = now
	return true
}
