package main

import (
	"fmt"
	"time"

	"seedbed/cmd/seedbed/report"
	"seedbed/node"
)

// failures collects the failures of several torrents. Each one is reported when it happens;
// the error of the command counts them.
type failures struct {
	n     int
	first error
}

func (f *failures) add(err error) {
	if f.n++; f.first == nil {
		f.first = err
	}
}

// result is resultOf for torrents.
func (f *failures) result(of int) error { return f.resultOf(of, "torrent") }

// resultOf returns the error of a command with the given number of items. With one item it
// is the failure itself; with several it counts them and has the exit code of the first.
func (f *failures) resultOf(of int, what string) error {
	switch {
	case f.n == 0 || of == 1:
		return f.first
	default:
		return fail(codeOf(f.first), "see the messages above", fmt.Errorf("%d of %s failed", f.n, report.Plural(of, what)))
	}
}

// warn reports an error while the command continues.
func (a *app) warn(err error) {
	if a.feed != nil {
		a.feed.Warn(err)
		return
	}
	if a.json {
		report.NewJSON(a.stdout).Event(node.Event{Kind: node.Warning, Time: time.Now(), Err: err})
		return
	}
	report.Fprintf(a.output().Stderr(), "seedbed: %s\n", report.Sentence(err))
}

// allFailed reports the error of each of several torrents and returns the error of the
// command.
func (a *app) allFailed(errs []error) error {
	var f failures
	for _, err := range errs {
		f.add(err)
		if len(errs) > 1 {
			a.warn(err)
		}
	}
	return f.result(len(errs))
}
