// Package report turns the events and state of a node into the output of a command. It owns
// the three forms of output (JSON lines, plain lines, live bars), the wording of sizes,
// rates and errors, and the sanitising of text from the network before a terminal shows it.
//
// It never decides what happens: commands pass it events and torrents, and it only reads
// them. Sizes are in bytes and rates in bytes per second.
package report

import (
	"context"
	"io"
	"iter"
	"os"
	"sync/atomic"
	"time"

	"golang.org/x/term"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/node"
	"seedbed/node/lifecycle"
	objects "seedbed/node/view"
)

// A Reporter shows the state of a running node: as JSON lines for a script, plain lines for
// a log file, or live bars on a terminal. All methods are safe for concurrent use.
type Reporter interface {
	Event(Event)
	// Tick shows the progress of the torrents. It is called once every Every, and when the
	// goal is reached.
	Tick(Node, iter.Seq[Torrent])
	Every() time.Duration
	// Ready reports that everything given to seed, so many torrents, is verified and seeding.
	Ready(torrents int)
	// Streaming reports where the files of a torrent can be played.
	Streaming(Torrent, []Stream)
	// Fail reports the error that ends the command.
	Fail(error)
	Close()
}

// A Holder is a Reporter that can write several reports at once. It may hold back what it is given until release is called.
type Holder interface {
	Hold() (release func())
}

// A Node is what a reporter reads of the node, of this process or of a daemon.
type Node interface {
	DHTNodes() int
	Announcing() dht.AnnouncerStats
}

// A Torrent is what a reporter reads of a torrent, of this process or of a daemon.
type Torrent interface {
	InfoHash() id.ID
	Name() string
	Phase() lifecycle.Phase
	Snapshot() node.Snapshot
}

// Named returns t with another name.
func Named(t Torrent, name string) Torrent { return named{t, name} }

type named struct {
	Torrent
	name string
}

// Name implements Torrent.
func (n named) Name() string { return n.name }

// All returns the torrents of a node for a reporter.
func All(ts []*node.Torrent) iter.Seq[Torrent] {
	return func(yield func(Torrent) bool) {
		for _, t := range ts {
			if !yield(t) {
				return
			}
		}
	}
}

// An Event is the object of an event, and the name of its torrent, if known.
type Event struct {
	Name string
	objects.Object
}

// EventOf returns the event of a node for a reporter.
func EventOf(e *node.Event) Event { return Event{e.Name, objects.Event(e, Hint)} }

// Output is where a command writes and in which form.
type Output struct {
	Out, Err *Stdio
	JSON     bool // one JSON object per line on Out
	Quiet    bool // only results and errors

	live   *screen // of Out, if it is a terminal and progress is drawn
	screen *screen // live, or the screen of Err if only Err is a terminal
	errs   *Queue  // in front of Err
	full   atomic.Pointer[FullScreen]
}

// Open returns the output of a command. A command opens only one.
func Open(out, err *Stdio, json, quiet bool) *Output {
	o := &Output{Out: out, Err: err, JSON: json, Quiet: quiet}
	switch {
	case json || quiet || os.Getenv("TERM") == "dumb":
	case IsTerminal(out.File):
		o.live = newScreen(out)
		o.screen = o.live
	case IsTerminal(err.File):
		o.screen = newScreen(err)
	}
	switch {
	case !IsTerminal(err.File):
		o.errs = NewQueue(err.Unwatched())
	case o.screen != nil:
		o.errs = NewQueue(sharedWriter{o.screen, err.Unwatched()})
	default:
		o.errs = NewQueue(wrapping{err})
	}
	return o
}

// Close waits until all messages to Err are written. After ctx ends, it gives up when nobody
// reads them.
func (o *Output) Close(ctx context.Context) { o.errs.Close(ctx) }

// Stdout returns the writer of whole lines to Out. Writes do not disturb the progress drawn
// there.
func (o *Output) Stdout() io.Writer {
	if o.live != nil {
		return o.live
	}
	return o.Out
}

// Stderr is like Stdout, for Err. A command never waits for the reader of Err for long: a
// Queue says what happens to the messages.
func (o *Output) Stderr() io.Writer { return o.errs }

// DrawsOnStderr reports whether progress is drawn on the terminal that Err is.
func (o *Output) DrawsOnStderr() bool { return o.screen != nil && IsTerminal(o.Err.File) }

// Interrupt removes the progress and the ^C that the terminal echoed, and closes the full
// screen. It is called at the first signal, because the second ends the process at once without
// clearing the screen.
func (o *Output) Interrupt() {
	if s := o.full.Load(); s != nil {
		s.Close()
	}
	switch {
	case o.screen != nil:
		o.screen.end()
	case IsTerminal(o.Out.File):
		_, _ = o.Out.File.WriteString("\r")
	case IsTerminal(o.Err.File):
		_, _ = o.Err.File.WriteString("\r")
	}
}

// New returns the reporter for o. stay says that the command continues after everything is
// complete.
func New(o *Output, stay bool) Reporter {
	switch {
	case o.JSON:
		return NewJSON(o.Out.Unwatched())
	case o.live != nil:
		return newLiveReporter(o, stay)
	}
	return &plainReporter{out: o.Out.Unwatched(), errs: o.Stderr(), quiet: o.Quiet, stay: stay}
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Stream is a file that can be played.
type Stream struct {
	Number int // from 1, as show lists them
	Path   string
	Size   int64
	URL    string
	Root   string // URL of the server, or of a playlist

	ByDaemon bool // a daemon serves it, and continues after the command
}
