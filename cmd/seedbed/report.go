package main

import (
	"os"
	"time"

	"golang.org/x/term"

	"seedbed/node"
)

// A reporter tells what happens: to a script as JSON lines, to a person as
// plain lines or, on a terminal, as live bars. Calls may come from any
// goroutine.
type reporter interface {
	event(node.Event)
	// tick comes at the pace that every asks for, and when the goal is reached.
	tick(*node.Node, []*node.Torrent)
	every() time.Duration
	// ready says that everything given to seed is verified and shared.
	ready([]*node.Torrent)
	// streaming says where the files of a torrent can be played.
	streaming(*node.Torrent, []streamed)
	// fail tells the error that ends the command.
	fail(error)
	close()
}

// reporter is the one that suits the flags and the terminal. stay says that the
// command goes on when all is complete.
func (a *app) reporter(stay bool) reporter {
	switch {
	case a.json:
		return newJSONReporter(a.stdout)
	case a.quiet:
		return &plainReporter{out: a.stdout, errs: a.stderr, quiet: true}
	case term.IsTerminal(int(a.stdout.Fd())) && os.Getenv("TERM") != "dumb":
		return newBarReporter(a.stdout, a.stderr, stay)
	}
	return &plainReporter{out: a.stdout, errs: a.stderr}
}
