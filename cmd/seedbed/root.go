package main

import (
	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/cataloguecmd"
	"seedbed/cmd/seedbed/daemoncmd"
	"seedbed/cmd/seedbed/demo"
	"seedbed/cmd/seedbed/dhtcmd"
	"seedbed/cmd/seedbed/fleetcmd"
	"seedbed/cmd/seedbed/gatewaycmd"
	"seedbed/cmd/seedbed/importcmd"
	"seedbed/cmd/seedbed/opencmd"
	"seedbed/cmd/seedbed/pincmd"
	"seedbed/cmd/seedbed/pubcmd"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/torrentcmd"
)

// rootCommand returns the command line of the program; args are its arguments.
func rootCommand(a *app.App, args []string) *cobra.Command {
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
			if err := a.Prepare(cmd); err != nil {
				return err
			}
			return checkGroups(cmd)
		},
		Args: app.KnownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if showVersion {
				return printVersion(a)
			}
			return cmd.Help()
		},
	}
	root.Flags().BoolVar(&showVersion, "version", false, "print the version")
	root.SetFlagErrorFunc(func(cmd *cobra.Command, err error) error { return flagError(cmd, args, err) })
	root.SetHelpCommand(helpCommand())
	setHelp(root, a)
	root.SetOut(a.Stdout)
	root.SetErr(a.Stderr)
	a.AddFlags(root.PersistentFlags())
	root.AddCommand(
		torrentcmd.Get(a), torrentcmd.Stream(a), torrentcmd.Seed(a), torrentcmd.Create(a), torrentcmd.Check(a), torrentcmd.Show(a),
		pubcmd.Publish(a), pubcmd.Follow(a), gatewaycmd.Gateway(a), pubcmd.Key(a),
		dhtcmd.DHT(a), dhtcmd.Bootstrap(a), dhtcmd.Doctor(a),
		settingsCommand(a), demo.Command(a), versionCommand(a), exitCodesTopic(), manPagesCommand())
	root.AddCommand(daemoncmd.Daemon(a), daemoncmd.Token(a), opencmd.Open(a), importcmd.Import(a), pincmd.Pin(a), fleetcmd.Fleet(a), cataloguecmd.Catalogue(a))
	root.AddCommand(remotecmd.Commands(a)...)
	addCompletion(root)
	describeFlags(root)
	complete(root)
	for _, c := range below(root) {
		c.Args = checkArguments(c.Args)
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

func exitCodesTopic() *cobra.Command {
	return &cobra.Command{
		Use:   "exit-codes",
		Short: "The exit codes, which follow aria2's list",
		Long: `Exit codes (aria2's list):

   0  everything is done; or stopped while only seeding
   1  any other error
   2  --timeout expired, or a DHT node did not answer
   3  a file or folder does not exist, or nothing was found in the DHT
   6  a network problem: no address to listen on, no DHT node answered, or the daemon
      cannot be reached
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
