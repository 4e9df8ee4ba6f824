package s3store

import (
	"errors"
	"fmt"
	"time"

	"seedbed/internal/objectstore"
	"seedbed/swarm/storage"
)

// A store may refuse to send an object for a while: the credentials have expired, or somebody has changed a policy of the bucket.
// For readers, that is the same as a store that does not answer, except that the refusal comes at once and may concern only some
// objects.

const (
	// refusedTime is how long a unit is not requested after the store has refused to send it.
	refusedTime = 5 * time.Second
	// maxRefused is how many such units a torrent remembers.
	maxRefused = 4096
	// warnPause is the pause after a warning of one kind, for all torrents of a node.
	warnPause = 10 * time.Minute
)

// isRefusal reports whether an error of a fetch says that the store refuses what it may send later, or that the folder of the
// cache cannot be written to.
func isRefusal(err error) bool {
	var local *storage.Error
	if errors.As(err, &local) {
		return true
	}
	switch objectstore.KindOf(err) {
	case objectstore.Denied, objectstore.Unsupported, objectstore.Elsewhere:
		return true
	}
	return false
}

// refuse records that a unit cannot be fetched now. It returns the error for those who wait, which wraps storage.ErrAway.
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

// isRefused reports whether a unit could not be fetched shortly before. mu is held.
func (s *Storage) isRefused(unit int) bool {
	until, ok := s.refused[unit]
	if ok && !time.Now().Before(until) {
		delete(s.refused, unit)
		return false
	}
	return ok
}

// trouble is what kind of error keeps a torrent from reading: of the store, or of the folder of the cache. The zero value is none.
type trouble struct {
	store objectstore.Kind
	cache storage.Kind
}

// CacheFolderError is passed to Options.Warn if the folder of the cache cannot be used, so that nothing can be read from the store.
type CacheFolderError struct{ Err error }

func (e *CacheFolderError) Error() string {
	return fmt.Sprintf("cannot read from the store without the cache; it is tried again: %v", e.Err)
}

// Hint returns what a user can do about the error.
func (e *CacheFolderError) Hint() string {
	return "free space there, and let this user write there; or give another folder with --cache"
}

// warn reports why the store cannot be read, once until it can be.
func (s *Storage) warn(err error) {
	now := trouble{store: objectstore.KindOf(err)}
	var local *storage.Error
	if errors.As(err, &local) {
		now.cache, err = local.Kind, &CacheFolderError{err}
	} else {
		err = fmt.Errorf("cannot read from the store now; it is tried again: %w", err)
	}
	s.mu.Lock()
	isNew := s.o.Warn != nil && s.warned != now && s.shared.mayWarn(now)
	if isNew {
		s.warned = now
	}
	s.mu.Unlock()
	if isNew {
		s.o.Warn(err)
	}
}

// mayWarn reports whether there was no warning of a kind for a while.
func (s *Shared) mayWarn(kind trouble) bool {
	s.warnings.Lock()
	defer s.warnings.Unlock()
	now := time.Now()
	if last, ok := s.lastWarning[kind]; ok && now.Sub(last) < warnPause {
		return false
	}
	s.lastWarning[kind] = now
	return true
}
