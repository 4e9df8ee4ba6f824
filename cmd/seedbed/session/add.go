package session

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"

	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/id"
	"seedbed/node"
)

// resolve replaces links that have a public key by the newest version (BEP 46). If none
// newer is found, a link that also names a version keeps that version.
func (s *Session) resolve(ctx context.Context, n *node.Node) error {
	if s.Timeout > 0 {
		var cancel context.CancelFunc
		ctx, cancel = context.WithTimeout(ctx, s.Timeout)
		defer cancel()
	}
	for i := range s.Specs {
		l := s.Specs[i].Link
		if l == nil || !l.HasPublicKey {
			continue
		}
		link, version, err := n.Resolve(ctx, l)
		seq := version.Number
		if err == nil && s.At != 0 {
			seq = s.At
			if link, err = node.VersionAt(l, &version, seq); err != nil {
				return err
			}
		}
		switch {
		case err == nil:
			s.Specs[i].Link = link
			if err := s.seal(&s.Specs[i], l); err != nil {
				return err
			}
			s.rep.Event(node.Event{Kind: node.FoundVersion, Publication: &node.PublicationEvent{
				Link: l.String(), Seq: seq, InfoHash: link.InfoHash.String()}})
		case errors.Is(err, context.DeadlineExceeded):
			return exit.Fail(exit.Timeout, "use a longer --timeout, or run seedbed show with the link", fmt.Errorf("the newest version was not found within %v", s.Timeout))
		case errors.Is(err, context.Canceled):
			return exit.Fail(exit.Unfinished, "", errors.New("stopped before the latest version was found"))
		case l.Openable() == nil:
			s.rep.Warn(fmt.Errorf("opening the version that the link itself names: %w", err))
		default:
			return err
		}
	}
	return nil
}

// add adds the torrents to the node, in parallel if there are more than Many. It leaves out
// torrents that cannot be added and appends their errors to Unreadable.
func (s *Session) add(ctx context.Context, n *node.Node) error {
	count := len(s.Specs) + len(s.Paths)
	s.torrents = make([]*node.Torrent, count)
	errs := make([]error, count)
	workers := 1
	if count > Many {
		workers = 2 * runtime.GOMAXPROCS(0) // some of them wait for the disk
	}
	var next atomic.Int64
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := int(next.Add(1)) - 1; i < count; i = int(next.Add(1)) - 1 {
				s.torrents[i], errs[i] = s.addOne(ctx, n, i)
			}
		})
	}
	added := make(chan struct{})
	go func() {
		wg.Wait()
		close(added)
	}()
	s.early.takeUntil(added, s.events)
	if len(s.Paths) > 0 && ctx.Err() != nil {
		return exit.Fail(exit.Unfinished, "", errors.New("stopped before all torrents were added"))
	}
	s.torrents = slices.DeleteFunc(s.torrents, func(t *node.Torrent) bool { return t == nil })
	s.Unreadable = append(s.Unreadable, slices.DeleteFunc(errs, func(err error) bool { return err == nil })...)
	s.Paths = nil
	return nil
}

// addOne adds the torrent of a Spec or, after those, of a path. It returns nil and no error if
// the torrent was given before, and for a path after ctx has ended.
func (s *Session) addOne(ctx context.Context, n *node.Node, i int) (*node.Torrent, error) {
	if i < len(s.Specs) {
		spec := s.Specs[i]
		s.Specs[i].Torrent = nil // the node has it
		return s.addSpec(n, spec)
	}
	if ctx.Err() != nil {
		return nil, nil
	}
	spec, err := s.Take(s.Paths[i-len(s.Specs)])
	if err != nil {
		return nil, err
	}
	return s.addSpec(n, spec)
}

func (s *Session) addSpec(n *node.Node, spec node.Spec) (*node.Torrent, error) {
	t, err := n.Add(spec)
	if errors.Is(err, node.ErrDuplicate) && len(s.Paths) > 0 { // Has does not know those
		return nil, nil
	}
	s.setDir(t, spec.Dir)
	return t, err
}

// setDir records the folder of a torrent's data; t may be nil.
func (s *Session) setDir(t *node.Torrent, dir string) {
	if t == nil || !s.Hooks.IsSet() {
		return
	}
	if abs, err := filepath.Abs(dir); err == nil {
		dir = abs
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.dirs == nil {
		s.dirs = map[id.ID]string{}
	}
	s.dirs[t.InfoHash()] = dir
}

// addArrival adds an argument that arrived during the session.
func (s *Session) addArrival(n *node.Node, now *results, arg string) {
	spec, err := s.Take(arg)
	if err == nil && s.Has(spec) {
		return
	}
	var t *node.Torrent
	if err == nil {
		t, err = n.Add(spec)
	}
	if errors.Is(err, node.ErrDuplicate) { // one of Paths
		return
	}
	now.all++
	if err != nil {
		s.rep.Warn(err)
		now.failed.Add(err)
		return
	}
	s.setDir(t, spec.Dir)
	s.mu.Lock()
	s.torrents = append(s.torrents, t)
	s.mu.Unlock()
	now.open[t.InfoHash()] = t
	now.sharing++
}

// Many is the maximum number of torrents that are added one after another, in order.
const Many = 64
