package main

import (
	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/daemoncmd"
	"seedbed/cmd/seedbed/settings"
	"seedbed/internal/option"
	"seedbed/node/view"
)

func settingsCommand(a *app.App) *cobra.Command {
	var c app.Flags
	cmd := &cobra.Command{
		Use:   "settings",
		Short: "Show the settings of a node and where they come from; get and set those of a daemon",
		Long: `Show every setting of a node: its value, and whether that is the default or comes from
the settings file, from the environment or from the command line. Each of these
overrides the ones before it.

The settings file is TOML; its keys are the names of the flags. A table with the name
of a command sets flags of that command only. seedbed never writes it.

settings get and settings set show and change the settings of a daemon while it runs.`,
		Example: `  seedbed settings
  seedbed settings --config other.toml
  seedbed settings set up-limit=500K`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := c.NodeConfig(cmd.Context()); err != nil {
				return err
			}
			for _, s := range settings.Table {
				f := cmd.Flags().Lookup(s.Name)
				o := view.Setting{Setting: s.Name, Value: f.Value.String(), Default: f.DefValue, Source: settings.SourceOf(f).String(), Env: option.EnvName(s.Name), Live: s.Live}
				if err := daemoncmd.ShowSetting(a, o); err != nil {
					return err
				}
			}
			a.Say("settings file: %s", a.SettingsFile())
			return nil
		},
	}
	c.AddNetwork(cmd.Flags())
	c.AddStore(cmd.Flags())
	cmd.AddCommand(daemoncmd.Settings(a)...)
	return cmd
}
