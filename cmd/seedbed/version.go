package main

import (
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/node/view"
)

// release is set by the linker for released binaries (see the Makefile).
var release = ""

// version returns the release, or else the commit of the build.
func version() string {
	if release != "" {
		return release
	}
	if bi, ok := debug.ReadBuildInfo(); ok {
		for _, s := range bi.Settings {
			if s.Key == "vcs.revision" && len(s.Value) >= 12 {
				return "0-" + s.Value[:12]
			}
		}
	}
	return "0-dev"
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE:  func(*cobra.Command, []string) error { return a.printVersion() },
	}
}

func (a *app) printVersion() error {
	v := view.Program{Version: version(), Go: runtime.Version(), OS: runtime.GOOS, Arch: runtime.GOARCH}
	if a.json {
		return a.put(&v)
	}
	_, err := report.Fprintf(a.stdout, "seedbed %s (%s, %s/%s)\n", v.Version, v.Go, v.OS, v.Arch)
	return err
}
