package node

import (
	"fmt"
	"sync"
	"time"
)

// An operation is answered once its record is in the journal, where it survives a kill. A sync of the
// disk takes milliseconds, while data is written often much longer, so the records of the last moments
// are synced together in the background. A power cut can therefore undo the last changes. What must not
// happen before the record is on the disk, such as moving or deleting files, calls syncRecord first.

const (
	// syncDelay is the time after a change in which others are collected.
	syncDelay = 500 * time.Millisecond
	// maxSyncDelay is the longest interval between two attempts if the disk fails.
	maxSyncDelay = time.Minute
)

// recordSyncer syncs the journal of the session. While there are changes, a goroutine does so.
type recordSyncer struct {
	node *Node

	mu      sync.Mutex
	running bool
	idle    sync.Cond     // signals that running has become false
	closing chan struct{} // closed when there is no more time to collect
}

func (s *recordSyncer) init(n *Node) {
	s.node, s.closing = n, make(chan struct{})
	s.idle.L = &s.mu
}

// add notes that the journal was changed.
func (s *recordSyncer) add() {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.running {
		s.running = true
		go s.run()
	}
}

// run syncs the journal until nothing is pending. If the disk fails, it warns once and tries again.
func (s *recordSyncer) run() {
	delay := syncDelay
	timer := time.NewTimer(delay)
	defer timer.Stop()
	for isLast := false; s.goesOn(isLast); {
		isClosing := false
		select {
		case <-timer.C:
		case <-s.closing:
			isClosing = true
		}
		err := s.node.syncRecords()
		s.node.steps.Add(1)
		if err != nil && (delay == syncDelay || isClosing) {
			s.node.Emit(Event{Kind: Warning, Err: fmt.Errorf("cannot save the session: %w", err)})
		}
		if err != nil {
			delay = min(2*delay, maxSyncDelay)
		} else {
			delay = syncDelay
		}
		isLast = isClosing && err != nil
		timer.Reset(delay)
	}
}

// goesOn reports whether something is pending and this was not the last attempt. Otherwise the goroutine
// must end.
func (s *recordSyncer) goesOn(isLast bool) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if j, err := s.node.state.records(); err == nil && j.IsPending() && !isLast {
		return true
	}
	s.running = false
	s.idle.Broadcast()
	return false
}

// close syncs what is pending. Records are not written any more.
func (s *recordSyncer) close() {
	close(s.closing)
	s.mu.Lock()
	defer s.mu.Unlock()
	for s.running {
		s.idle.Wait()
	}
}

// syncRecords makes all records that were written survive a power cut. It waits for the disk.
func (n *Node) syncRecords() error {
	j, err := n.state.records()
	if err != nil {
		return err
	}
	return asFault(j.Sync())
}

// syncRecord syncs the record of the torrent at once, if it is part of the session. It waits for the
// disk.
func (t *Torrent) syncRecord() error {
	if !t.inSession() {
		return nil
	}
	return t.node.syncRecords()
}

// saveSynced writes the record and syncs it.
func (t *Torrent) saveSynced() error {
	if err := t.save(); err != nil {
		return err
	}
	return t.syncRecord()
}

// deleteRecord deletes the record of the torrent, which is not part of the session any more.
func (t *Torrent) deleteRecord() error {
	c := &t.control
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	wasInSession := c.entry != nil
	c.entry = nil // nothing writes the record again
	c.mu.Unlock()
	if !wasInSession {
		return nil
	}
	j, err := t.node.state.records()
	if err == nil {
		err = j.Delete(t.hash)
	}
	t.node.records.add()
	return asFault(err)
}
