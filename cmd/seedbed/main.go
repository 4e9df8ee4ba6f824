// Command seedbed opens magnet links without trackers, shares files, and shows the content
// of links and .torrent files.
//
// This package is only the command line: flags, environment variables, signals, exit codes,
// and output for people and scripts. Package node does the work. Stdout carries results
// (with --json only event lines), stderr carries errors and logs.
package main

import (
	"context"
	"os"
	"time"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/process"
	"seedbed/cmd/seedbed/report"
)

func main() {
	process.KeepMemory()

	ctx, interrupts := process.WatchInterrupts()
	ctx, end := context.WithCancel(ctx)
	code := runApp(ctx, interrupts, process.WatchHangups(end), os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(int(code))
}

// run runs the program without exiting, for tests.
func run(ctx context.Context, args []string, stdout, stderr *os.File) exit.Code {
	return runApp(ctx, nil, nil, args, stdout, stderr)
}

func runApp(ctx context.Context, i *process.Interrupts, h *process.Hangups, args []string, stdout, stderr *os.File) exit.Code {
	a := app.New(h, &report.Stdio{File: stdout}, &report.Stdio{File: stderr})
	defer a.CloseOutput(ctx)
	root := rootCommand(a, args)
	root.SetArgs(args)
	clean := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(clean)
		a.Interrupt()
		i.Cleared()
	})
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = root.ExecuteContext(ctx)
	}()
	if unread(ctx, a, done) {
		return exit.Unfinished
	}
	if !stop() {
		select {
		case <-clean:
		case <-time.After(report.Unread): // the terminal takes no output
		}
	}
	if err = a.Finish(err); err == nil {
		return exit.OK
	}
	a.Fail(err)
	return exit.CodeOf(err)
}

// unread waits until the command ends. It returns true if the command was asked to end but
// is blocked because nobody reads its output. A report.Feed handles that case itself.
func unread(ctx context.Context, a *app.App, done <-chan struct{}) bool {
	select {
	case <-done:
		return false
	case <-ctx.Done():
		return a.Stdout.Stuck(done)
	}
}
