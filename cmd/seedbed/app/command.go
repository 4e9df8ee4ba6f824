package app

import (
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/option"
)

// KnownCommand is the Args of a command that only has subcommands: any argument is an
// unknown command.
func KnownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		if c.IsAvailableCommand() {
			names = append(append(names, c.Name()), c.Aliases...)
		}
	}
	err := fmt.Errorf("%q is not a command of %s", args[0], cmd.CommandPath())
	return exit.Fail(exit.Usage, DidYouMean(args[0], names, cmd.CommandPath()+" ", "see "+cmd.CommandPath()+" --help"), err)
}

// DidYouMean returns a hint for an unknown word: the word that was probably meant, with
// prefix, or else otherwise.
func DidYouMean(wrong string, words []string, prefix, otherwise string) string {
	if near := option.Nearest(wrong, words); near != "" {
		return "did you mean " + prefix + near + "?"
	}
	return otherwise
}
