package main

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
)

// flagsOfOthers are flags of other clients, and what users of those may try, with the flag that does
// it here.
var flagsOfOthers = map[string]string{
	"port": "listen :PORT", "listen-port": "listen :PORT", "peerport": "listen :PORT",
	"bind-address": "listen HOST:PORT", "bind-address-ipv4": "listen HOST:PORT", "bind-address-ipv6": "listen HOST:PORT",
	"device": "bind-interface NAME", "iface": "bind-interface NAME", "interface": "bind-interface NAME", "bind-device": "bind-interface NAME",
	"socks": "proxy socks5://HOST:PORT", "socks5": "proxy socks5://HOST:PORT", "socks-url": "proxy socks5://HOST:PORT", "all-proxy": "proxy socks5://HOST:PORT",
	"proxy-user": "proxy-auth-file FILE", "proxy-password": "proxy-auth-file FILE",
	"upnp": "port-map upnp", "natpmp": "port-map natpmp", "nat-pmp": "port-map natpmp", "pcp": "port-map pcp", "portmap": "port-map auto",
	"no-upnp": "port-map off", "no-natpmp": "port-map off", "no-portmap": "port-map off", "no-port-map": "port-map off",
	"lpd": "lsd on", "no-lpd": "lsd off", "no-lsd": "lsd off", "no-utp": "utp off", "tos": "dscp N",
}

// flagError rewrites an error of package pflag as a sentence and suggests the flag that was
// probably meant; args is the command line.
func flagError(cmd *cobra.Command, args []string, err error) error {
	if cmd == cmd.Root() { // the flags belong to an unknown command
		for _, arg := range args {
			if !strings.HasPrefix(arg, "-") {
				return app.KnownCommand(cmd, []string{arg})
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
		hint = app.DidYouMean(unknown.GetSpecifiedName(), names, "--", hint)
		meant := flagsOfOthers[unknown.GetSpecifiedName()]
		if name, _, _ := strings.Cut(meant, " "); cmd.Flags().Lookup(name) != nil {
			hint = "did you mean --" + meant + "?"
		}
	case errors.As(err, &bad):
		err = fmt.Errorf("--%s: %w", bad.GetFlag().Name, badValue(bad))
	}
	return exit.Fail(exit.Usage, hint, err)
}

// checkArguments returns check, changed to say in plain words what is wrong. check may be
// nil.
func checkArguments(check cobra.PositionalArgs) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		var err error
		if check != nil {
			err = check(cmd, args)
		}
		var known *exit.Error
		switch {
		case err == nil:
			err = emptyArgument(cmd, args)
		case !errors.As(err, &known):
			err = wrongArguments(cmd, args)
		}
		if err != nil {
			err = exit.SeeHelp(exit.Misuse(err), cmd.CommandPath())
		}
		return err
	}
}

// expected returns the arguments in the command's usage line.
func expected(cmd *cobra.Command) (names []string) {
	for _, word := range strings.Fields(cmd.Use)[1:] {
		if strings.HasPrefix(strings.TrimPrefix(word, "["), "-") {
			break
		}
		names = append(names, word)
	}
	return names
}

// nameOf returns an argument of the usage line as part of a sentence.
func nameOf(word string) string {
	names := strings.Split(strings.TrimSuffix(word, "..."), "|")
	last := len(names) - 1
	if last == 0 {
		return names[0]
	}
	return strings.Join(names[:last], ", ") + " or " + names[last]
}

// wrongArguments says which argument is missing or not expected.
func wrongArguments(cmd *cobra.Command, args []string) error {
	wanted := expected(cmd)
	switch {
	case len(args) < len(wanted) && !strings.HasPrefix(wanted[len(args)], "["):
		return errors.New("missing argument: " + nameOf(wanted[len(args)]))
	case len(args) <= len(wanted):
		return fmt.Errorf("wrong arguments: %s", strings.Join(args, " "))
	}
	return fmt.Errorf("unexpected argument: %s", args[len(wanted)])
}

// emptyArgument returns an error if an argument is empty, as from a variable that is not set.
// Only a value to store may be.
func emptyArgument(cmd *cobra.Command, args []string) error {
	wanted := expected(cmd)
	for i, arg := range args {
		if arg != "" || len(wanted) == 0 {
			continue
		}
		if word := wanted[min(i, len(wanted)-1)]; word != "VALUE" {
			return errors.New("the argument is empty: give " + nameOf(strings.Trim(word, "[]")))
		}
	}
	return nil
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
	return exit.Fail(exit.Usage, "see "+cmd.CommandPath()+" --help", err)
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
				err = app.KnownCommand(at, rest)
			}
			var known *exit.Error
			if errors.As(err, &known) {
				return err
			}
			if err != nil {
				return app.KnownCommand(cmd.Root(), args)
			}
			at.InitDefaultHelpFlag()
			return at.Help()
		},
	}
}
