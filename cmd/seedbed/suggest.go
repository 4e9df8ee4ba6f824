package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/settings"
)

// knownCommand is the Args of a command that only has subcommands: any argument is an
// unknown command.
func knownCommand(cmd *cobra.Command, args []string) error {
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
	return fail(exitUsage, didYouMean(args[0], names, cmd.CommandPath()+" ", "see "+cmd.CommandPath()+" --help"), err)
}

// flagError rewrites an error of package pflag as a sentence and suggests the flag that was
// probably meant.
func (a *app) flagError(cmd *cobra.Command, err error) error {
	if cmd == cmd.Root() { // the flags belong to an unknown command
		for _, arg := range a.args {
			if !strings.HasPrefix(arg, "-") {
				return knownCommand(cmd, []string{arg})
			}
		}
	}
	hint := "see " + cmd.CommandPath() + " --help"
	var unknown *pflag.NotExistError
	var bad *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown) && unknown.GetSpecifiedShortnames() == "":
		var names []string
		cmd.Flags().VisitAll(func(f *pflag.Flag) { names = append(names, f.Name) })
		hint = didYouMean(unknown.GetSpecifiedName(), names, "--", hint)
	case errors.As(err, &bad):
		err = fmt.Errorf("--%s: %w", bad.GetFlag().Name, badValue(bad))
	}
	return fail(exitUsage, hint, err)
}

// wrongArguments says which argument is missing or not expected.
func wrongArguments(cmd *cobra.Command, args []string) error {
	var wanted []string // from the command's usage line
	for _, word := range strings.Fields(cmd.Use)[1:] {
		if strings.HasPrefix(word, "-") {
			break
		}
		wanted = append(wanted, word)
	}
	if len(args) < len(wanted) && !strings.HasPrefix(wanted[len(args)], "[") {
		names := strings.Split(strings.TrimSuffix(wanted[len(args)], "..."), "|")
		last := len(names) - 1
		text := names[last]
		if last > 0 {
			text = strings.Join(names[:last], ", ") + " or " + text
		}
		return errors.New("missing argument: " + text)
	}
	if len(args) <= len(wanted) {
		return fmt.Errorf("wrong arguments: %s", strings.Join(args, " "))
	}
	return fmt.Errorf("unexpected argument: %s", args[len(wanted)])
}

// excluded matches cobra's error about flags that exclude each other.
var excluded = regexp.MustCompile(`^if any flags in the group \[(.*)\] are set none`)

// checkGroups returns an error if flags that exclude each other are set.
func checkGroups(cmd *cobra.Command) error {
	err := cmd.ValidateFlagGroups()
	if err == nil {
		return nil
	}
	if m := excluded.FindStringSubmatch(err.Error()); m != nil {
		err = fmt.Errorf("only one of --%s can be used", strings.ReplaceAll(m[1], " ", ", --"))
	}
	return fail(exitUsage, "see "+cmd.CommandPath()+" --help", err)
}

// badValue describes the invalid value of a flag. The errors of package pflag name functions
// of package strconv.
func badValue(bad *pflag.InvalidValueError) error {
	var number *strconv.NumError
	reason := bad.Unwrap()
	if !errors.As(reason, &number) && !strings.HasPrefix(reason.Error(), "time: ") {
		return reason
	}
	what := map[string]string{"bool": "neither true nor false", "duration": "not a length of time such as 90s, 15m or 2h", "float64": "not a number"}[bad.GetFlag().Value.Type()]
	if what == "" {
		what = "not a whole number"
	}
	return fmt.Errorf("%q is %s", bad.GetValue(), what)
}

// didYouMean returns a hint for an unknown word: the word that was probably meant, or else
// otherwise.
func didYouMean(wrong string, words []string, prefix, otherwise string) string {
	if near := settings.Nearest(wrong, words); near != "" {
		return "did you mean " + prefix + near + "?"
	}
	return otherwise
}

// helpCommand returns cobra's help command, changed to fail for an unknown command.
func helpCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "help [COMMAND]",
		Short: "Show the help of a command",
		ValidArgsFunction: func(cmd *cobra.Command, args []string, toComplete string) (out []string, _ cobra.ShellCompDirective) {
			at, _, err := cmd.Root().Find(args)
			if err != nil {
				return nil, cobra.ShellCompDirectiveNoFileComp
			}
			for _, c := range at.Commands() {
				if (c.IsAvailableCommand() || c.IsAdditionalHelpTopicCommand()) && strings.HasPrefix(c.Name(), toComplete) {
					out = append(out, c.Name()+"\t"+c.Short)
				}
			}
			return out, cobra.ShellCompDirectiveNoFileComp
		},
		RunE: func(cmd *cobra.Command, args []string) error {
			at, rest, err := cmd.Root().Find(args)
			if err == nil && len(rest) > 0 {
				err = knownCommand(at, rest)
			}
			var told *userError
			if errors.As(err, &told) {
				return err
			}
			if err != nil {
				return knownCommand(cmd.Root(), args)
			}
			at.InitDefaultHelpFlag()
			return at.Help()
		},
	}
}
