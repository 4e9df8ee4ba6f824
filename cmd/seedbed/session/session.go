// Package session runs the commands that download or seed torrents until a goal is reached:
// get, seed and stream.
//
// With several torrents, one that fails is reported and the others go on; the exit code is
// that of the first failure.
package session

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"path/filepath"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/node"
)

// A Session is the run of one command with a node. The caller sets the exported fields and
// calls Run.
type Session struct {
	App    *app.App
	Config node.Config
	// Specs are the torrents. Has finds those that were given twice.
	Specs []node.Spec
	// Paths are more torrents: what Take returns for each of them. They are added one by one,
	// so that a large number of them is never in memory at the same time. One that was given
	// before is left out.
	Paths   []string
	Timeout time.Duration // for reaching the goal; 0 means no limit

	// The goal is reached when every torrent is complete (with MetadataOnly: has its
	// metadata). The session then ends unless Stay is set.
	Stay         bool
	MetadataOnly bool
	Seeding      bool // the data exists: anything missing is an error

	// Unreadable holds the errors of arguments that could not be opened as torrents while
	// others could.
	Unreadable []error

	// Arrivals, if not nil, sends arguments that appear during the session; Take returns
	// the Spec of each. The session then waits for more arrivals even if all torrents have
	// ended or failed.
	Arrivals <-chan string
	Take     func(arg string) (node.Spec, error) // for Paths and Arrivals; safe for concurrent use

	Hooks *hook.Hooks // for --on-complete; may be nil

	// Serve, if not nil, is called when the first torrent has been added. The session closes
	// cleanly when over sends the result of serving, or at a signal. stop is called before
	// the node is closed.
	Serve func(*node.Torrent, *report.Feed) (over <-chan error, stop func())

	At int64 // of links with a key, the version to open; 0: the newest

	sealed map[id.ID]*sealedTorrent // of private publications
	over   <-chan error
	given  map[string]bool // torrents of Specs
	rep    *report.Feed
	events *node.Subscription // for wait
	early  earlyEvents        // taken from events by add, for wait

	mu       sync.Mutex // guards torrents, which the feed reads, and dirs
	torrents []*node.Torrent
	dirs     map[id.ID]string // download folders of the torrents, for Hooks
}

// present returns the torrents of the session.
func (s *Session) present() iter.Seq[report.Torrent] {
	s.mu.Lock()
	defer s.mu.Unlock()
	return report.All(s.torrents[:len(s.torrents):len(s.torrents)]) // it only grows, so nothing is copied
}

// Run opens the node, adds the torrents, reports progress until the goal is reached or
// something ends the session, and closes the node cleanly.
func (s *Session) Run(ctx context.Context) error {
	if s.Config.NoDHT && slices.ContainsFunc(s.Specs, needsDHT) {
		return node.ErrNoDHT
	}
	return s.App.WithFeed(ctx, s.Stay, func(rep *report.Feed) error {
		s.rep = rep
		n, err := s.App.OpenNode(s.Config)
		if err != nil {
			return err
		}
		defer s.App.ReloadOnHangup(app.SettingsOf(n))()
		goal := s.runWith(ctx, n)
		err = s.App.CloseNode(n)
		if !s.Stay {
			err = errors.Join(err, s.deleteSealed())
		}
		if s.Stay && goal == nil { // nothing is left but sharing
			return app.WarnOfChanges(err, rep)
		}
		return errors.Join(goal, err)
	})
}

// needsDHT reports whether the link of spec has a public key but no infohash.
func needsDHT(spec node.Spec) bool {
	return spec.Link != nil && spec.Link.HasPublicKey && spec.Link.Openable() != nil
}

// runWith adds the torrents to n and reports until the goal is reached or something ends the
// session.
func (s *Session) runWith(ctx context.Context, n *node.Node) error {
	kinds := []node.EventKind{node.Complete, node.Failed, node.Seeded}
	if s.MetadataOnly { // the events hold the metadata
		kinds = append(kinds, node.Metadata)
	}
	s.events = n.Subscribe(kinds...)
	s.rep.Watch(n, s.shows(len(s.Specs)+len(s.Paths)+len(s.Unreadable) > 1))
	if err := s.resolve(ctx, n); err != nil {
		return err
	}
	if err := s.add(ctx, n); err != nil {
		return err
	}
	if len(s.torrents) == 0 && s.Arrivals == nil {
		return s.App.AllFailed(s.Unreadable)
	}
	if s.Serve != nil {
		over, stop := s.Serve(s.torrents[0], s.rep)
		s.over = over
		defer stop()
	}
	err := s.wait(ctx, n)
	if s.Hooks != nil {
		s.Hooks.Wait()
	}
	s.rep.Follow(nil, nil)
	return err
}

// shows returns a function that reports whether an event is reported. It runs on another
// goroutine than the session. several says that the command was given several torrents.
func (s *Session) shows(several bool) func(node.Event) bool {
	stays, allFailures := s.Stay, several || s.App.JSON || s.Arrivals != nil
	return func(e node.Event) bool {
		switch e.Kind {
		case node.Seeding: // without stay, the command ends here
			return stays
		case node.Failed: // with one torrent, the error of the command says it
			return allFailures
		}
		return true
	}
}

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

// wait reports until the goal is reached, an error, a signal or the timeout. If one of
// several downloads ends with an error, it reports that and continues with the others.
func (s *Session) wait(ctx context.Context, n *node.Node) error {
	var timeout <-chan time.Time
	if s.Timeout > 0 {
		t := time.NewTimer(s.Timeout)
		defer t.Stop()
		timeout = t.C
	}
	now := results{open: map[id.ID]*node.Torrent{}, sharing: len(s.torrents), all: len(s.torrents) + len(s.Unreadable)}
	for _, err := range s.Unreadable {
		s.rep.Warn(err)
		now.failed.Add(err)
	}
	for _, t := range s.torrents {
		now.open[t.InfoHash()] = t
	}
	s.rep.Tick(n, report.All(s.torrents))
	s.rep.Follow(n, s.present)
	for {
		if isOver, err := s.noteAll(ctx, &now, n); isOver {
			return err
		}
		if now.settled {
			timeout = nil
		}
		select {
		case <-s.events.Ready():
		case arg := <-s.Arrivals:
			s.addArrival(n, &now, arg)
		case err := <-s.over:
			return err
		case <-timeout:
			return s.timedOut()
		case <-ctx.Done():
			if len(now.open) == 0 || s.Serve != nil {
				return s.result(&now)
			}
			return s.interrupted()
		}
	}
}

// runHook runs the command of --on-complete for a torrent.
func (s *Session) runHook(t *node.Torrent) {
	if s.Hooks.IsSet() && !s.MetadataOnly {
		s.Hooks.Run(hook.Completed{Name: t.Name(), InfoHash: t.InfoHash().String(), Dir: s.dirs[t.InfoHash()]})
	}
}

// timedOut returns the error that paused a torrent, such as a full disk, if there is one. Else
// it returns a timeout error with the progress.
func (s *Session) timedOut() error {
	for _, t := range s.torrents {
		if snap := t.Snapshot(); snap.Paused != nil {
			return snap.Paused
		}
	}
	return exit.Fail(exit.Timeout, "use a longer --timeout, or run the same command again to resume",
		fmt.Errorf("not complete after %v: %s", s.Timeout, s.progress()))
}

func (s *Session) interrupted() error {
	return exit.Fail(exit.Unfinished, "run the same command again to resume", fmt.Errorf("stopped: %s", s.progress()))
}

// progress describes the progress of the one incomplete torrent, or counts the complete ones
// if there are several.
func (s *Session) progress() string {
	var open []*node.Torrent
	for _, t := range s.torrents {
		select {
		case <-t.Done():
		default:
			open = append(open, t)
		}
	}
	switch len(open) {
	case 0:
		return "everything was complete"
	case 1:
		return report.Progress(open[0].Name(), open[0].Snapshot())
	}
	return fmt.Sprintf("%d of %s complete", len(s.torrents)-len(open), report.Plural(len(s.torrents), "torrent"))
}

// Has reports whether the session has the torrent of spec already, and records it.
func (s *Session) Has(spec node.Spec) bool {
	what := spec.InfoHash().String()
	if spec.Torrent == nil && spec.Link.HasPublicKey {
		what = spec.Link.PublicKey.String() + string(spec.Link.Salt)
	}
	if s.given[what] {
		return true
	}
	if s.given == nil {
		s.given = map[string]bool{}
	}
	s.given[what] = true
	return false
}
