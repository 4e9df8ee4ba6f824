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
	"os/signal"
	"syscall"
	"time"

	"seedbed/cmd/seedbed/report"
)

func main() {
	keepMemory()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	ctx, end := context.WithCancel(ctx)
	code := runApp(ctx, watchHangups(end), os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(int(code))
}

// run runs the program without exiting, for tests.
func run(ctx context.Context, args []string, stdout, stderr *os.File) exitCode {
	return runApp(ctx, nil, args, stdout, stderr)
}

func runApp(ctx context.Context, h *hangups, args []string, stdout, stderr *os.File) exitCode {
	app := &app{args: args, hangups: h, stdout: &report.Stdio{File: stdout}, stderr: &report.Stdio{File: stderr}}
	root := app.rootCommand()
	root.SetArgs(args)
	root.SetOut(app.stdout)
	root.SetErr(app.stderr)
	clean := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(clean)
		app.interrupt()
	})
	done := make(chan struct{})
	var err error
	go func() {
		defer close(done)
		err = root.ExecuteContext(ctx)
	}()
	if app.unread(ctx, done) {
		return exitUnfinished
	}
	if !stop() {
		select {
		case <-clean:
		case <-time.After(report.Unread): // the terminal takes no output
		}
	}
	if err == nil {
		return exitOK
	}
	if !app.told {
		if app.json {
			report.NewJSON(stdout).Fail(err)
		}
		report.Fprintf(app.output().Stderr(), "seedbed: %s\n", report.Sentence(err))
	}
	return codeOf(err)
}

// unread waits until the command ends. It returns true if the command was asked to end but
// is blocked because nobody reads its output. A report.Feed handles that case itself.
func (a *app) unread(ctx context.Context, done <-chan struct{}) bool {
	select {
	case <-done:
		return false
	case <-ctx.Done():
		return a.stdout.Stuck(done)
	}
}
