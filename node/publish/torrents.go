package publish

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"

	"seedbed/node"
)

// torrents counts which torrents the publications of a publisher seed. Two of them may
// publish the same content, which is one torrent, and each may change to another at any
// time.
type torrents struct {
	node *node.Node
	ctx  context.Context
	wg   sync.WaitGroup

	mu    sync.Mutex
	users map[*node.Torrent]int // of those that the publisher has added
	// leaving are being removed; the channel is closed when that is done. The same
	// torrent can be added again then.
	leaving map[*node.Torrent]chan struct{}
}

func (s *torrents) init(n *node.Node, ctx context.Context) {
	s.node, s.ctx = n, ctx
	s.users, s.leaving = map[*node.Torrent]int{}, map[*node.Torrent]chan struct{}{}
}

// acquire adds a torrent to the node, or returns the one that the node has. If that one
// is being removed, acquire waits for it and adds the torrent again.
func (s *torrents) acquire(ctx context.Context, spec node.Spec) (*node.Torrent, error) {
	for {
		t, leaving, err := s.tryAcquire(spec)
		if err != nil || leaving == nil {
			return t, err
		}
		select {
		case <-leaving:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

func (s *torrents) tryAcquire(spec node.Spec) (t *node.Torrent, leaving <-chan struct{}, err error) {
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
	if c, ok := s.leaving[t]; ok {
		return nil, c, nil
	}
	if s.users[t] > 0 {
		s.users[t]++
	}
	return t, nil, nil
}

// release takes back acquire, and removes the torrent from the node when nobody else has
// acquired it. Then the folder data, if not "", is deleted too. release waits for neither.
func (s *torrents) release(t *node.Torrent, data string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if t == nil || s.users[t] == 0 {
		return // somebody else has added it
	}
	if s.users[t]--; s.users[t] > 0 {
		return
	}
	delete(s.users, t)
	if s.node.Torrent(t.InfoHash()) != t {
		return // it has failed, and may have been added again since
	}
	done := make(chan struct{})
	s.leaving[t] = done
	s.wg.Go(func() {
		err := s.node.Remove(s.ctx, t.InfoHash(), false)
		var f *node.Fault
		if errors.As(err, &f) && f.Kind == node.FaultVanished {
			err = nil // its files have changed: that is why it leaves
		}
		if err == nil && data != "" {
			err = os.RemoveAll(data)
		}
		s.mu.Lock()
		delete(s.leaving, t)
		s.mu.Unlock()
		close(done)
		if err != nil && s.ctx.Err() == nil && !errors.Is(err, node.ErrUnknown) {
			s.node.Emit(node.Event{Kind: node.Warning, Err: fmt.Errorf("an earlier version was not removed: %w", err)})
		}
	})
}

// wait waits until everything that was released is removed.
func (s *torrents) wait() { s.wg.Wait() }
