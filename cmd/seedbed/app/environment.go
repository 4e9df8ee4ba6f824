package app

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/option"
)

// otherVariables are the environment variables of seedbed that set no flag, without their
// prefix: what the command of --on-complete gets, which may itself run seedbed, and what the
// tests of seedbed read.
var otherVariables = []string{"NAME", "INFOHASH", "SOAK", "REQUIRE_PEERS"}

// warnOfVariables warns of environment variables that look like those of flags and are none.
func (a *App) warnOfVariables(root *cobra.Command) {
	prefix := option.EnvName("")
	var known []string
	for _, variable := range slices.Sorted(slices.Values(os.Environ())) {
		name, value, _ := strings.Cut(variable, "=")
		name, ours := strings.CutPrefix(name, prefix)
		if !ours || value == "" || strings.HasPrefix(name, "TEST_") {
			continue
		}
		if known == nil {
			known = append(flagVariables(root), otherVariables...)
		}
		if !slices.Contains(known, name) {
			a.Warn(exit.Fail(exit.Unknown, DidYouMean(name, known, prefix, "see seedbed settings"),
				fmt.Errorf("the environment variable %s belongs to no flag and is ignored", prefix+name)))
		}
	}
}

// flagVariables returns the environment variables of the flags of cmd and of all commands
// below it, without their prefix.
func flagVariables(cmd *cobra.Command) (names []string) {
	add := func(f *pflag.Flag) {
		names = append(names, strings.TrimPrefix(option.EnvName(f.Name), option.EnvName("")))
	}
	cmd.PersistentFlags().VisitAll(add)
	cmd.Flags().VisitAll(add)
	for _, c := range cmd.Commands() {
		names = append(names, flagVariables(c)...)
	}
	return names
}
