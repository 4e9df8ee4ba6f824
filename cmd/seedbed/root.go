package main

import (
	"errors"
	"log/slog"
	"sync"
	"sync/atomic"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
)

// app is one run of the program: its output and the state that all commands share.
type app struct {
	args           []string // the command line
	command        *cobra.Command
	hangups        *hangups
	config         string // the settings file given by --config
	sources        settings.Sources
	stdout, stderr *report.Stdio
	json           bool
	quiet          bool
	verbose        int
	told           bool         // the error that run returns has been printed
	feed           *report.Feed // of the running command; may be nil

	opening sync.Once
	out     atomic.Pointer[report.Output] // nil until output is called
}

// output returns the output of the command. The first call must come after the flags are
// parsed.
func (a *app) output() *report.Output {
	a.opening.Do(func() { a.out.Store(report.Open(a.stdout, a.stderr, a.json, a.quiet)) })
	return a.out.Load()
}

// interrupt removes the progress that the command has drawn, if any. It may be called at
// any time.
func (a *app) interrupt() {
	if out := a.out.Load(); out != nil {
		out.Interrupt()
	}
}

func (a *app) rootCommand() *cobra.Command {
	var showVersion bool
	root := &cobra.Command{
		Use:   "seedbed",
		Short: "A BitTorrent node that needs no tracker",
		Long: `seedbed is a BitTorrent node that needs no tracker. From a magnet link it finds the
swarm over the DHT and peer exchange, fetches the metadata from peers, downloads and
verifies the data, and can keep seeding.

Every flag can also be set by an environment variable (SEEDBED_NO_DHT=true for
--no-dht) or in the settings file; seedbed settings shows all settings and where they
come from. Exit codes follow aria2's list: see seedbed help exit-codes.`,
		Example: `  seedbed get 'magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056'
  seedbed seed holiday/
  seedbed demo`,
		SilenceErrors: true,
		SilenceUsage:  true,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			a.command = cmd
			if err := a.setFlags(cmd); err != nil {
				return err
			}
			return checkGroups(cmd)
		},
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				return a.printVersion()
			}
			return cmd.Help()
		},
	}
	root.Flags().BoolVar(&showVersion, "version", false, "print the version")
	root.SetFlagErrorFunc(a.flagError)
	root.SetHelpCommand(helpCommand())
	pf := root.PersistentFlags()
	pf.BoolVar(&a.json, "json", false, "print one JSON object per line on stdout")
	pf.BoolVarP(&a.quiet, "quiet", "q", false, "print only results and errors")
	pf.StringVar(&a.config, "config", "", "settings `FILE` (default by XDG: ~/.config/seedbed/config.toml)")
	pf.CountVarP(&a.verbose, "verbose", "v", "log to stderr; twice for more")
	root.AddCommand(a.getCommand(), a.streamCommand(), a.seedCommand(), a.createCommand(), a.publishCommand(), a.followCommand(), a.keyCommand(), a.checkCommand(), a.showCommand(),
		a.bootstrapCommand(),
		a.dhtCommand(), a.doctorCommand(), a.demoCommand(), a.settingsCommand(), a.versionCommand(), exitCodesTopic())
	describeFlags(root)
	complete(root)
	for _, c := range below(root) {
		if inner := c.Args; inner != nil {
			c.Args = func(cmd *cobra.Command, args []string) error {
				err := inner(cmd, args)
				var told *userError
				if err != nil && !errors.As(err, &told) {
					err = fail(exitUsage, "see "+cmd.CommandPath()+" --help", wrongArguments(cmd, args))
				}
				return err
			}
		}
	}
	return root
}

// below returns every command below cmd.
func below(cmd *cobra.Command) (all []*cobra.Command) {
	for _, c := range cmd.Commands() {
		all = append(append(all, c), below(c)...)
	}
	return all
}

func (a *app) logger() *slog.Logger {
	level := slog.LevelInfo
	switch {
	case a.verbose == 0:
		return slog.New(slog.DiscardHandler)
	case a.verbose > 1:
		level = slog.LevelDebug
	}
	return slog.New(slog.NewTextHandler(a.output().Stderr(), &slog.HandlerOptions{Level: level}))
}

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "The exit codes, which follow aria2's list",
		Long: `Exit codes (aria2's list):

   0  everything is done; or stopped while only seeding
   1  any other error
   2  --timeout expired, or a DHT node did not answer
   3  a file or folder does not exist, or nothing was found in the DHT
   6  a network problem: no address to listen on, or no DHT node answered
   7  stopped by a signal before everything was complete; run again to resume
   9  not enough disk space
  12  another process has this torrent open
  13  an existing file does not belong to the torrent (--overwrite)
  15  no permission to open a file
  17  the disk failed to read or write
  25  a .torrent file that is not bencoded
  26  an invalid .torrent file
  27  an invalid magnet link
  28  wrong flags or arguments
  32  data is missing or fails its hash`,
	}
}
