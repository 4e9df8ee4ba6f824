package app

import (
	"context"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/process"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
	"seedbed/node"
	"seedbed/node/daemon"
)

// reloads lists the commands that run as services: SIGHUP makes them reload their settings
// and blocklists.
var reloads = map[string]bool{"seed": true, "follow": true, "publish": true, "daemon": true}

// ReloadOnHangup makes SIGHUP read the settings again if the command is a service. apply puts
// them in force.
func (a *App) ReloadOnHangup(apply func(daemon.Settings) error) (undo func()) {
	if a.command == nil || !reloads[a.command.Name()] {
		return func() {}
	}
	return a.OnReload(func() {
		manager := process.ServiceManager()
		manager.Tell("RELOADING=1")
		err := a.reload(apply, a.command)
		manager.Tell("READY=1")
		if err != nil {
			report.Fprintf(a.Output().Stderr(), "seedbed: the settings stay as they were: %s\n", report.Sentence(err))
			return
		}
		if !a.Quiet {
			report.Fprintf(a.Output().Stderr(), "seedbed: settings and block lists were read again\n")
		}
	})
}

// SettingsOf returns the function that puts settings in force in a node without a daemon.
func SettingsOf(n *node.Node) func(daemon.Settings) error {
	return func(s daemon.Settings) error { return n.Apply(s.Settings) }
}

// Given returns the settings that a command would be given by the settings file and the
// environment.
func (a *App) Given(ctx context.Context, command string) (daemon.Settings, error) {
	return a.file.Reread(ctx, pflag.NewFlagSet(command, pflag.ContinueOnError), command)
}

// reload reads the settings file, the environment and the blocklists again and applies them.
func (a *App) reload(apply func(daemon.Settings) error, cmd *cobra.Command) error {
	file, err := settings.ReadFile(cmd.Context(), a.SettingsFile(), fileFlags(cmd.Root()), a.config != "", true)
	if err != nil {
		return err
	}
	s, err := file.Reread(cmd.Context(), cmd.Flags(), cmd.Name())
	if err != nil {
		return err
	}
	return apply(s)
}
