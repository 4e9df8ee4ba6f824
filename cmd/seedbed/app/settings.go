package app

import (
	"errors"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/settings"
	"seedbed/internal/userfile"
	"seedbed/node"
)

// setFlags sets the flags that are not on the command line: from the environment and from the
// settings file, in falling precedence.
func (a *App) setFlags(cmd *cobra.Command) error {
	if err := settings.SetEnv(cmd.Flags()); err != nil {
		return exit.Misuse(err)
	}
	if !usesSettings(cmd) {
		return nil
	}
	var err error
	a.file, err = settings.ReadFile(cmd.Context(), a.SettingsFile(), fileFlags(cmd.Root()), a.config != "", false)
	var stopped *userfile.StoppedError
	switch {
	case errors.As(err, &stopped):
		return err
	case err != nil:
		return exit.Fail(exit.Usage, "", err)
	}
	if err := a.file.SetState(cmd.Flags(), tableOf(cmd)); err != nil {
		return exit.Misuse(err)
	}
	if state := cmd.Flags().Lookup("state"); state != nil {
		v := settings.Values{Config: node.Config{State: state.Value.String()}}
		if err := checkState(v.State()); err != nil {
			return err
		}
	}
	if err := a.file.Set(cmd.Flags(), tableOf(cmd)); err != nil {
		return exit.Misuse(err)
	}
	return checkDir(cmd.Flags())
}

// SettingsFile returns the path of the settings file.
func (a *App) SettingsFile() string {
	if a.config != "" {
		return a.config
	}
	return settings.DefaultFile()
}

// usesSettings reports whether a command has flags that the settings file can set, other
// than those that all commands have.
func usesSettings(cmd *cobra.Command) bool {
	global := cmd.Root().PersistentFlags()
	some := false
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		some = some || f.Name != "help" && f.Name != "version" && global.Lookup(f.Name) == nil
	})
	return some && tableOf(cmd) != "help" && tableOf(cmd) != "completion"
}

// tableOf returns the name of the command's table in the settings file. Subcommands have the
// table of their command.
func tableOf(cmd *cobra.Command) string {
	for cmd.HasParent() && cmd.Parent() != cmd.Root() {
		cmd = cmd.Parent()
	}
	return cmd.Name()
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
