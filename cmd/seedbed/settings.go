package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/settings"
	"seedbed/node"
	"seedbed/node/view"
)

// setFlags sets the flags that are not on the command line: from the environment, from
// changes made while a node ran, and from the settings file, in falling precedence.
func (a *app) setFlags(cmd *cobra.Command) error {
	if err := settings.SetEnv(cmd.Flags()); err != nil {
		return usage(err)
	}
	if !usesSettings(cmd) {
		return nil
	}
	var err error
	if a.sources.File, err = settings.ReadFile(a.configFile(), fileFlags(cmd.Root()), a.config != ""); err != nil {
		return fail(exitUsage, "", err)
	}
	if err := a.sources.SetState(cmd.Flags(), cmd.Name()); err != nil {
		return usage(err)
	}
	if state := cmd.Flags().Lookup("state"); state != nil {
		v := settings.Values{Config: node.Config{State: state.Value.String()}}
		if a.sources.Changed, err = node.ChangedSettings(v.State()); err != nil {
			return err
		}
	}
	if err := a.sources.Set(cmd.Flags(), cmd.Name()); err != nil {
		return usage(err)
	}
	return nil
}

// configFile returns the path of the settings file.
func (a *app) configFile() string {
	if a.config != "" {
		return a.config
	}
	return settings.DefaultFile()
}

// usesSettings reports whether a command has flags that the settings file can set.
func usesSettings(cmd *cobra.Command) bool {
	some := false
	cmd.NonInheritedFlags().VisitAll(func(f *pflag.Flag) { some = some || f.Name != "help" && f.Name != "version" })
	return some && cmd.Name() != "help" && cmd.Name() != "completion"
}

// fileFlags returns the flags of each command that the settings file can set.
func fileFlags(root *cobra.Command) map[string][]string {
	all := map[string][]string{}
	for _, cmd := range root.Commands() {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if f.Name != "help" && f.Name != "config" {
				all[cmd.Name()] = append(all[cmd.Name()], f.Name)
			}
		})
	}
	return all
}

func (a *app) settingsCommand() *cobra.Command {
	var c common
	cmd := &cobra.Command{
		Use:   "settings",
		Short: "Show the settings of a node and where they come from",
		Long: `Show every setting: its value, and whether that is the default or comes from the
settings file, from a change while a node was running, from the environment or from
the command line. Each of these overrides the ones before it.

The settings file is TOML; its keys are the names of the flags. A table with the name
of a command sets flags of that command only. seedbed never writes it. What is changed
while a node is running is kept in the state directory.`,
		Example: `  seedbed settings
  seedbed settings --config other.toml`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if _, err := c.nodeConfig(); err != nil {
				return err
			}
			for _, s := range settings.Table {
				f := cmd.Flags().Lookup(s.Name)
				if err := a.showSetting(s, f); err != nil {
					return err
				}
			}
			a.say("settings file: %s", a.sources.File.Path)
			return nil
		},
	}
	c.addNetwork(cmd.Flags())
	return cmd
}

// showSetting prints one setting.
func (a *app) showSetting(s settings.Setting, f *pflag.Flag) error {
	from := settings.SourceOf(f)
	if a.json {
		return a.put(&view.Setting{Setting: s.Name, Value: f.Value.String(), Default: f.DefValue, Source: from.String(), Env: settings.EnvName(s.Name), Live: s.Live})
	}
	value := f.Value.String()
	if value == "" {
		value = "-"
	}
	a.result("%-20s %-24s %s", s.Name, value, from)
	return nil
}
