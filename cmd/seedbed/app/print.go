package app

import (
	"context"
	"errors"
	"fmt"
	"syscall"
	"time"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/userfile"
	"seedbed/node"
	"seedbed/node/view"
)

// Put prints an object with --json.
func (a *App) Put(o view.Object) error {
	return view.NewWriter(report.EscapeJSON(a.Stdout)).Write(o, time.Now())
}

// Say prints a line, except with --quiet or --json.
func (a *App) Say(format string, args ...any) {
	if !a.Quiet && !a.JSON {
		report.Fprintf(a.Output().Stdout(), format+"\n", args...)
	}
}

// Result prints a line, also with --quiet, but not with --json.
func (a *App) Result(format string, args ...any) {
	if !a.JSON {
		report.Fprintf(a.Output().Stdout(), format+"\n", args...)
	}
}

// Warn reports an error while the command continues.
func (a *App) Warn(err error) {
	if a.feed != nil {
		a.feed.Warn(err)
		return
	}
	if a.JSON {
		report.NewJSON(a.Stdout).Event(report.EventOf(&node.Event{Kind: node.Warning, Time: time.Now(), Err: err}))
		return
	}
	report.Fprintf(a.Output().Stderr(), "seedbed: %s\n", report.Sentence(err))
}

// LinePrinter returns a function that prints a line of another program's output on stderr
// without disturbing the progress, or nil if no progress is drawn there.
func (a *App) LinePrinter() func(line string) {
	out := a.Output()
	if !out.DrawsOnStderr() {
		return nil
	}
	return func(line string) { report.Fprintf(out.Stderr(), "%s\n", report.Exact(line)) }
}

// AllFailed reports the error of each of several torrents and returns the error of the
// command.
func (a *App) AllFailed(errs []error) error { return a.SomeFailed(errs, len(errs)) }

// SomeFailed is AllFailed for the errors of some of so many torrents.
func (a *App) SomeFailed(errs []error, of int) error {
	var f exit.Failures
	for _, err := range errs {
		f.Add(err)
		if of > 1 {
			a.Warn(err)
		}
	}
	return f.Result(of)
}

// Fail prints the error that ends the command, unless WithFeed has.
func (a *App) Fail(err error) {
	if a.reported {
		return
	}
	if a.JSON {
		report.NewJSON(a.Stdout.Unwatched()).Fail(err)
	}
	report.Fprintf(a.Output().Stderr(), "seedbed: %s\n", report.Sentence(err))
}

// Finish returns the error that ends the command: err with advice, or else an error if the
// output could not be written.
func (a *App) Finish(err error) error {
	if a.command != nil {
		err = exit.SeeHelp(err, a.command.CommandPath())
	}
	failed := a.Stdout.Err()
	if failed == nil || err != nil && !errors.Is(err, failed) {
		return err
	}
	code := exit.IO
	if errors.Is(failed, syscall.ENOSPC) {
		code = exit.DiskFull
	}
	return exit.Fail(code, "", fmt.Errorf("cannot write the output: %w", userfile.Reason(failed)))
}

// WithFeed runs do, which reports to a feed, and reports its error there. stay says that the
// command continues after everything is complete.
func (a *App) WithFeed(ctx context.Context, stay bool, do func(*report.Feed) error) error {
	rep := report.NewFeed(report.New(a.Output(), stay))
	a.feed = rep
	defer rep.Close(ctx)
	err := do(rep)
	if err != nil {
		rep.Fail(err)
		a.reported = true
	}
	return err
}
