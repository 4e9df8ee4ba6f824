// Package report turns the events and state of a node into the output of a command. It owns
// the three forms of output (JSON lines, plain lines, live bars), the wording of sizes,
// rates and errors, and the sanitising of text from the network before a terminal shows it.
//
// It never decides what happens: commands pass it events and torrents, and it only reads
// them. Sizes are in bytes and rates in bytes per second.
package report

import (
	"io"
	"os"
	"time"

	"golang.org/x/term"

	"seedbed/node"
)

// A Reporter shows the state of a running node: as JSON lines for a script, plain lines for
// a log file, or live bars on a terminal. All methods are safe for concurrent use.
type Reporter interface {
	Event(node.Event)
	// Tick shows the progress of the torrents. It is called once every Every, and when the
	// goal is reached.
	Tick(*node.Node, []*node.Torrent)
	Every() time.Duration
	// Ready reports that everything given to seed is verified and seeding.
	Ready([]*node.Torrent)
	// Streaming reports where the files of a torrent can be played.
	Streaming(*node.Torrent, []Stream)
	// Fail reports the error that ends the command.
	Fail(error)
	Close()
}

// Output is where a command writes and in which form.
type Output struct {
	Out, Err *Stdio
	JSON     bool // one JSON object per line on Out
	Quiet    bool // only results and errors

	live   *screen // of Out, if it is a terminal and progress is drawn
	screen *screen // live, or the screen of Err if only Err is a terminal
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
	return o
}

// Stdout returns the writer of whole lines to Out. Writes do not disturb the progress drawn
// there.
func (o *Output) Stdout() io.Writer {
	if o.live != nil {
		return o.live
	}
	return o.Out
}

// Stderr is like Stdout, for Err.
func (o *Output) Stderr() io.Writer {
	if o.screen != nil && IsTerminal(o.Err.File) {
		return sharer{o.screen, o.Err}
	}
	return o.Err
}

// Interrupt removes the progress and the ^C that the terminal echoed. It is called at the
// first signal, because the second ends the process at once without clearing the screen.
func (o *Output) Interrupt() {
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
		return NewJSON(o.Out.File)
	case o.live != nil:
		return newLiveReporter(o, stay)
	}
	return &plainReporter{out: o.Out.File, errs: o.Stderr(), quiet: o.Quiet, stay: stay}
}

// IsTerminal reports whether f is a terminal.
func IsTerminal(f *os.File) bool { return term.IsTerminal(int(f.Fd())) }

// Stream is a file that can be played.
type Stream struct {
	Number int // from 1, as show lists them
	Path   string
	Size   int64
	URL    string
	Root   string // URL of the server
}
