// Command seedbed opens magnet links with no tracker, shares files, and shows
// what links and .torrent files name.
//
// This package owns the command line alone: flags and their environment
// twins, signals, exit codes, and what a person or a script reads. Everything
// that happens is done by package node. Stdout carries results (with --json
// nothing but event lines), stderr carries errors and logs.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"seedbed/cmd/seedbed/report"
)

func main() {
	keepMemory()

	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	code := run(ctx, os.Args[1:], os.Stdout, os.Stderr)
	os.Exit(int(code))
}

// run is the program without the process: what main and the tests call.
func run(ctx context.Context, args []string, stdout, stderr *os.File) exitCode {
	app := &app{args: args, stdout: stdout, stderr: stderr}
	root := app.rootCommand()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	defer context.AfterFunc(ctx, func() { app.output().Interrupt() })()
	err := root.ExecuteContext(ctx)
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
