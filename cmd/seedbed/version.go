package main

import (
	"runtime"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/version"
	"seedbed/node/view"
)

func versionCommand(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return printVersion(a) },
	}
}

func printVersion(a *app.App) error {
	v := view.Program{Version: version.String(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if a.JSON {
		return a.Put(&v)
	}
	_, err := report.Fprintf(a.Stdout, "seedbed %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
	return err
}
