package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
	"seedbed/internal/userfile"
	"seedbed/node/keys"
)

// complete adds shell completion to all commands: the words of enumerated flags, folders,
// key names, file numbers, and .torrent files.
func complete(root *cobra.Command) {
	for _, cmd := range below(root) {
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if do := completionOf(f); do != nil && cmd.LocalFlags().Lookup(f.Name) != nil {
				_ = cmd.RegisterFlagCompletionFunc(f.Name, do) // fails only if one is registered already
			}
		})
		if strings.Contains(cmd.Use, "FILE.torrent") {
			cmd.ValidArgsFunction = torrentFiles
			if strings.Contains(cmd.Use, "PATH") { // any file
				cmd.ValidArgsFunction = nil
			}
		}
	}
	export, _, _ := root.Find([]string{"key", "export"})
	export.ValidArgsFunction = keyNames
}

// addCompletion adds cobra's command that prints completion scripts, changed to fail for an
// unknown shell. The output of root must be set before.
func addCompletion(root *cobra.Command) {
	root.InitDefaultCompletionCmd()
	cmd, _, _ := root.Find([]string{"completion"})
	cmd.Args = app.KnownCommand
	cmd.RunE = func(cmd *cobra.Command, _ []string) error { return cmd.Help() }
}

// completionOf returns the completion of a flag's value, or nil for file names.
func completionOf(f *pflag.Flag) cobra.CompletionFunc {
	if w, ok := f.Value.(interface{ Choices() []string }); ok {
		return cobra.FixedCompletions(w.Choices(), cobra.ShellCompDirectiveNoFileComp)
	}
	arg, _ := pflag.UnquoteUsage(f)
	switch {
	case f.Name == "key" && arg == "NAME", f.Name == "history":
		return keyNames
	case f.Name == "select", f.Name == "file":
		return fileNumbers
	case arg == "DIR":
		return folders
	case arg == "FILE", arg == "CMD":
		return nil
	}
	return cobra.NoFileCompletions
}

func folders(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveFilterDirs
}

func torrentFiles(*cobra.Command, []string, string) ([]string, cobra.ShellCompDirective) {
	return []string{"torrent"}, cobra.ShellCompDirectiveFilterFileExt
}

// keyNames lists the keys of the state directory.
func keyNames(cmd *cobra.Command, args []string, _ string) ([]string, cobra.ShellCompDirective) {
	v := settings.NewValues()
	if f := cmd.Flags().Lookup("state"); f != nil {
		v.Config.State = f.Value.String()
	}
	names, _ := keys.Open(v.State()).List() // without keys there is nothing to complete
	return names, cobra.ShellCompDirectiveNoFileComp
}

// fileNumbers completes --select and --file with the file numbers of the .torrent file on
// the command line. In a list it completes the last number.
func fileNumbers(cmd *cobra.Command, args []string, typed string) (out []string, _ cobra.ShellCompDirective) {
	const directive = cobra.ShellCompDirectiveNoFileComp | cobra.ShellCompDirectiveNoSpace
	if len(args) == 0 || userfile.IsPipe(args[0]) || argument.IsURL(args[0]) || argument.IsLink(args[0]) {
		return nil, directive
	}
	t, err := argument.ReadTorrent(cmd.Context(), args[0])
	if err != nil {
		return nil, directive
	}
	before := typed[:strings.LastIndexAny(typed, ",-")+1]
	for i := range t.Info.Files {
		if f := &t.Info.Files[i]; !f.Pad {
			out = append(out, fmt.Sprintf("%s%d\t%s", before, t.Info.FileNumber(i), report.Clean(strings.Join(f.Path, "/"))))
		}
	}
	return out, directive
}
