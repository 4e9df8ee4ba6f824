// Package report turns what a node does into what a command prints. It owns the three
// forms of output (JSON lines, plain lines, live bars), the wording of sizes, rates and
// errors, and the cleaning of names from the network before a terminal sees them.
//
// It never decides what happens: commands pass it events and torrents, and it only
// reads them. Sizes are bytes and rates are bytes a second.
package report

import (
	"os"
	"time"

	"golang.org/x/term"

	"seedbed/node"
)

// A Reporter shows a running node to whoever started the command: JSON lines for a
// script, plain lines for a log file, live bars on a terminal. Its methods may be called
// from any goroutine.
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
	Out, Err *os.File
	JSON     bool // one JSON object a line on Out
	Quiet    bool // only results and errors
}

// New returns the reporter that suits o and the terminal. stay says that the command
// continues after everything is complete.
func New(o Output, stay bool) Reporter {
	switch {
	case o.JSON:
		return NewJSON(o.Out)
	case o.live():
		return newBarReporter(o.Out, o.Err, stay)
	}
	return &plainReporter{out: o.Out, errs: o.Err, quiet: o.Quiet}
}

// live reports whether progress is drawn and redrawn on a terminal.
func (o *Output) live() bool {
	return !o.JSON && !o.Quiet && IsTerminal(o.Out) && os.Getenv("TERM") != "dumb"
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
