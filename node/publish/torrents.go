package publish

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"seedbed/node"
)

// torrents counts the users of each torrent that the publications of a publisher seed. Two
// publications can share a torrent if they have the same content, and each can switch to
// another torrent at any time.
type torrents struct {
	node *node.Node
	ctx  context.Context
	wg   sync.WaitGroup

	mu    sync.Mutex
	users map[*node.Torrent]int // torrents that the publisher has added
	// removing has the torrents that are being removed.
	removing map[*node.Torrent]*removal
}

// removal is a torrent that is being removed.
type removal struct {
	hurry context.CancelFunc // makes it begin now
	done  chan struct{}      // closed when the torrent is removed and can be added again
}

// pushTime is how long the torrent of the previous version stays, so that its peers get the item of the new
// one.
const pushTime = 5 * time.Second

func (s *torrents) init(n *node.Node, ctx context.Context) {
	s.node, s.ctx = n, ctx
	s.users, s.removing = map[*node.Torrent]int{}, map[*node.Torrent]*removal{}
}

// acquire adds a torrent to the node, or returns it if the node has it already. If the
// torrent is being removed, acquire waits for that and adds it again. isOthers says that
// another client of the node has added the torrent, which stays when it is released.
func (s *torrents) acquire(ctx context.Context, spec node.Spec) (t *node.Torrent, isOthers bool, err error) {
	for {
		t, removing, err := s.tryAcquire(spec)
		if err != nil || removing == nil {
			return t, t != nil && !s.isOurs(t), err
		}
		select {
		case <-removing:
		case <-ctx.Done():
			return nil, false, ctx.Err()
		}
	}
}

func (s *torrents) isOurs(t *node.Torrent) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.users[t] > 0
}

func (s *torrents) tryAcquire(spec node.Spec) (t *node.Torrent, removing <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, err = s.node.Add(spec)
	if err == nil {
		s.users[t] = 1
		return t, nil, nil
	}
	if !errors.Is(err, node.ErrDuplicate) {
		return nil, nil, err
	}
	if t = s.node.Torrent(spec.InfoHash()); t == nil {
		if t = s.node.Torrent(spec.InfoHashV2().Short()); t == nil {
			return nil, nil, err
		}
	}
	if r, ok := s.removing[t]; ok {
		r.hurry()
		return nil, r.done, nil
	}
	if s.users[t] > 0 {
		s.users[t]++
	}
	return t, nil, nil
}

// release undoes acquire. If no user is left, it removes the torrent from the node and
// deletes the folder data, unless that is "". It does not wait for the removal.
func (s *torrents) release(t *node.Torrent, data string) { s.releaseIn(0, t, data, func() {}) }

// releaseSoon is release for the previous version: it stays for pushTime. removed is called when the
// torrent has left the node.
func (s *torrents) releaseSoon(t *node.Torrent, data string, removed func()) {
	s.releaseIn(pushTime, t, data, removed)
}

func (s *torrents) releaseIn(wait time.Duration, t *node.Torrent, data string, removed func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t == nil || s.users[t] == 0 {
		return // the torrent was not added by this publisher
	}
	if s.users[t]--; s.users[t] > 0 {
		return
	}
	delete(s.users, t)
	if s.node.Torrent(t.InfoHash()) != t {
		return // it has failed, and may have been added again since then
	}
	t.Outdate()
	waiting, hurry := context.WithTimeout(s.ctx, wait)
	r := &removal{hurry: hurry, done: make(chan struct{})}
	s.removing[t] = r
	s.wg.Go(func() {
		<-waiting.Done()
		hurry()
		err := s.node.Remove(s.ctx, t.InfoHash(), false)
		if err == nil {
			err = t.Settled(s.ctx)
		}
		var f *node.Fault
		if errors.As(err, &f) && f.Kind == node.FaultVanished {
			err = nil // its files have changed, which is the reason for the removal
		}
		if err == nil && data != "" {
			err = os.RemoveAll(data)
		}
		s.mu.Lock()
		delete(s.removing, t)
		s.mu.Unlock()
		close(r.done)
		removed()
		if err != nil && s.ctx.Err() == nil && !errors.Is(err, node.ErrUnknown) {
			s.node.Emit(node.Event{Kind: node.Warning, Err: fmt.Errorf("cannot remove an earlier version: %w", err)})
		}
	})
}

// wait waits until every released torrent is removed.
func (s *torrents) wait() { s.wg.Wait() }
