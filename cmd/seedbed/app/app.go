// Package app has what the commands of the program share: the output, the settings, the
// flags of nodes, and functions that open a node, report its events and close it.
//
// A command is a cobra.Command that gets the App of the process. It prints results with
// Result and Put, and everything else with Say and Warn, so that --json and --quiet hold
// for all commands. It returns an error, which the main package prints, with the exit code
// that package exit gives it.
package app

import (
	"context"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/process"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
)

// App is one run of the program: its output and the state that all commands share.
type App struct {
	Stdout, Stderr *report.Stdio
	JSON           bool // --json
	Quiet          bool // --quiet

	verbose int
	config  string // the settings file given by --config

	command  *cobra.Command // the running one; nil until Prepare
	file     *settings.File
	hangups  *process.Hangups
	feed     *report.Feed // of the running command; may be nil
	reported bool         // the error of the command has been printed

	opening     sync.Once
	interrupted atomic.Bool
	out         atomic.Pointer[report.Output] // nil until Output is called
}

// New returns the App of a process; h may be nil.
func New(h *process.Hangups, stdout, stderr *report.Stdio) *App {
	return &App{hangups: h, Stdout: stdout, Stderr: stderr}
}

// AddFlags adds the flags that all commands have.
func (a *App) AddFlags(fs *pflag.FlagSet) {
	fs.BoolVar(&a.JSON, "json", false, "print one JSON object per line on stdout")
	fs.BoolVarP(&a.Quiet, "quiet", "q", false, "print only results and errors")
	fs.StringVar(&a.config, "config", "", "settings `FILE` (default by XDG: ~/.config/seedbed/config.toml)")
	fs.CountVarP(&a.verbose, "verbose", "v", "log to stderr; twice for more")
}

// Prepare sets the flags of the command that is about to run from the environment and the
// settings file. It is called when the command line has been parsed.
func (a *App) Prepare(cmd *cobra.Command) error {
	a.command = cmd
	if !cmd.Hidden { // not when a shell asks for completions
		a.warnOfVariables(cmd.Root())
	}
	return a.setFlags(cmd)
}

// Output returns the output of the command. The first call must come after the flags are
// parsed.
func (a *App) Output() *report.Output {
	a.opening.Do(func() {
		out := report.Open(a.Stdout, a.Stderr, a.JSON, a.Quiet)
		a.out.Store(out)
		if a.interrupted.Load() {
			out.Interrupt()
		}
	})
	return a.out.Load()
}

// CloseOutput waits until all messages are written. After ctx ends, it gives up when nobody
// reads them.
func (a *App) CloseOutput(ctx context.Context) {
	if out := a.out.Load(); out != nil {
		out.Close(ctx)
	}
}

// Interrupt removes the progress that the command has drawn; none is drawn any more. It may
// be called at any time.
func (a *App) Interrupt() {
	a.interrupted.Store(true)
	if out := a.out.Load(); out != nil {
		out.Interrupt()
	}
}

// Logger returns a logger with the level of --verbose, which discards everything by
// default.
func (a *App) Logger() *slog.Logger {
	level := slog.LevelInfo
	switch {
	case a.verbose == 0:
		return slog.New(slog.DiscardHandler)
	case a.verbose > 1:
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.Output().Stderr(), &slog.HandlerOptions{Level: level}))
}

// OnReload sets the function that SIGHUP calls while the command runs as a service. undo
// removes it.
func (a *App) OnReload(f func()) (undo func()) { return a.hangups.OnReload(f) }
