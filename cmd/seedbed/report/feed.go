package report

import (
	"context"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/node"
)

// A Feed calls a reporter on a separate goroutine. If nobody reads stdout, only that
// goroutine blocks: events wait in a bounded subscription, and ticks are skipped. The
// methods of a Feed never block, except Close.
type Feed struct {
	rep  Reporter
	made atomic.Int64  // number of reports so far
	wake chan struct{} // buffered: 1
	done chan struct{} // closed when the goroutine has ended

	mu       sync.Mutex
	calls    []func()           // reports of the command itself, in order
	sub      *node.Subscription // nil until Watch
	shows    func(node.Event) bool
	node     Node
	torrents func() iter.Seq[Torrent] // whose progress is reported; may be nil
	closing  bool

	events []node.Event // the last that were taken; only for the goroutine
}

// NewFeed starts a feed, which the caller closes.
func NewFeed(rep Reporter) *Feed {
	f := &Feed{rep: rep, wake: make(chan struct{}, 1), done: make(chan struct{})}
	go f.run()
	return f
}

// Watch reports the events of a node for which shows returns true.
func (f *Feed) Watch(n *node.Node, shows func(node.Event) bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sub, f.shows = n.Subscribe(), shows
	f.nudge()
}

// Follow reports the progress of these torrents of n from now on; nil stops that.
func (f *Feed) Follow(n Node, torrents func() iter.Seq[Torrent]) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.node, f.torrents = n, torrents
}

// do calls report after all earlier events are reported.
func (f *Feed) do(report func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.calls = append(f.calls, report)
	f.nudge()
}

// Event reports an event of the command itself and sets its time.
func (f *Feed) Event(e node.Event) {
	e.Time = time.Now()
	f.Forward(EventOf(&e))
}

// Forward reports an event of another process.
func (f *Feed) Forward(e Event) { f.do(func() { f.rep.Event(e) }) }

// Warn reports an error while the command continues.
func (f *Feed) Warn(err error) { f.Event(node.Event{Kind: node.Warning, Err: err}) }

// Tick reports the progress of torrents now.
func (f *Feed) Tick(n Node, ts iter.Seq[Torrent]) { f.do(func() { f.rep.Tick(n, ts) }) }

// Ready calls Reporter.Ready.
func (f *Feed) Ready(torrents int) { f.do(func() { f.rep.Ready(torrents) }) }

// Streaming calls Reporter.Streaming.
func (f *Feed) Streaming(t Torrent, files []Stream) {
	f.do(func() { f.rep.Streaming(t, files) })
}

// Fail calls Reporter.Fail.
func (f *Feed) Fail(err error) { f.do(func() { f.rep.Fail(err) }) }

// Close waits until everything is reported. After ctx ends, it gives up if no report
// completes for Unread, because nobody reads.
func (f *Feed) Close(ctx context.Context) {
	f.mu.Lock()
	f.closing, f.torrents = true, nil
	f.nudge()
	f.mu.Unlock()
	select {
	case <-f.done:
		return
	case <-ctx.Done():
	}
	for before := int64(-1); f.made.Load() != before; {
		before = f.made.Load()
		select {
		case <-f.done:
			return
		case <-time.After(Unread):
		}
	}
}

// Unread is how long a write waits for a reader after the command was asked to end.
const Unread = 2 * time.Second

func (f *Feed) nudge() {
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// run is the feed's goroutine. It is the only one that calls the reporter.
func (f *Feed) run() {
	defer close(f.done)
	tick := time.NewTicker(f.rep.Every())
	defer tick.Stop()
	for {
		ready, closing := f.pending()
		f.report()
		if closing {
			f.rep.Close()
			return
		}
		select {
		case <-f.wake:
		case _, open := <-ready:
			if !open {
				f.forget()
			}
		case <-tick.C:
			f.progress()
		}
	}
}

// pending returns a channel that signals waiting events, and whether the feed is closing.
func (f *Feed) pending() (ready <-chan struct{}, closing bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.sub != nil {
		ready = f.sub.Ready()
	}
	return ready, f.closing
}

// forget drops a subscription that has ended with its node.
func (f *Feed) forget() {
	f.report()
	f.mu.Lock()
	defer f.mu.Unlock()
	f.sub = nil
}

// report makes the waiting reports: first the events, then those of the command itself.
func (f *Feed) report() {
	defer f.hold()()
	f.mu.Lock()
	calls, sub, shows := f.calls, f.sub, f.shows
	f.calls = nil
	f.mu.Unlock()
	if sub != nil {
		f.events = sub.TakeInto(f.events)
		for _, e := range f.events {
			if shows(e) {
				f.rep.Event(EventOf(&e))
				f.made.Add(1)
			}
		}
	}
	for _, call := range calls {
		call()
		f.made.Add(1)
	}
}

// hold makes the reporter collect its reports into few writes until release is called.
func (f *Feed) hold() (release func()) {
	if h, ok := f.rep.(Holder); ok {
		return h.Hold()
	}
	return func() {}
}

func (f *Feed) progress() {
	f.mu.Lock()
	n, torrents := f.node, f.torrents
	f.mu.Unlock()
	if torrents != nil {
		defer f.hold()()
		f.rep.Tick(n, torrents())
	}
}
