package main

import (
	"regexp"
	"strings"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/report"
)

// setHelp makes the help of all commands fit the terminal, or 80 columns without one.
func setHelp(root *cobra.Command, a *app.App) {
	root.SetHelpFunc(func(cmd *cobra.Command, _ []string) {
		text := strings.TrimSpace(cmd.Long)
		if text == "" {
			text = cmd.Short
		}
		if cmd.Runnable() || cmd.HasSubCommands() {
			text += "\n\n" + cmd.UsageString()
		}
		// An error is noticed at the end of the command.
		_, _ = cmd.OutOrStdout().Write([]byte(wrapHelp(strings.TrimRight(text, "\n")+"\n", report.Columns(a.Stdout.File))))
	})
}

// described matches a line of a list, such as that of the flags: a name, and after two
// blanks or more its description.
var described = regexp.MustCompile(`^( +\S.*?  +)(\S.*)$`)

// wrapHelp breaks the lines of a help text that are longer than cols, between words. The
// lines of a paragraph are joined first. Examples stay as they are, to be copied.
func wrapHelp(text string, cols int) string {
	var out []string
	var paragraph []string
	flush := func() {
		out = append(out, fill("", strings.Join(paragraph, " "), "", cols)...)
		paragraph = nil
	}
	examples := false
	for line := range strings.SplitSeq(text, "\n") {
		if line != "" && line[0] != ' ' && !strings.HasSuffix(line, ":") {
			paragraph = append(paragraph, line)
			continue
		}
		flush()
		if strings.HasSuffix(line, ":") && line[0] != ' ' {
			examples = line == "Examples:"
		}
		switch m := described.FindStringSubmatch(line); {
		case examples || len(line) <= cols:
			out = append(out, line)
		case m != nil && len(m[1]) <= cols/2:
			out = append(out, fill(m[1], m[2], strings.Repeat(" ", len(m[1])), cols)...)
		default:
			out = append(out, fill("", line, "      ", cols)...)
		}
	}
	flush()
	return strings.Join(out, "\n")
}

// fill returns text in lines of at most cols, the first after first and the others after
// indent. A longer word stays whole.
func fill(first, text, indent string, cols int) (lines []string) {
	if text == "" {
		return nil
	}
	line, empty := first, true
	for word := range strings.SplitSeq(text, " ") {
		switch {
		case empty:
			line += word
		case len(line)+1+len(word) > cols:
			lines = append(lines, line)
			line = indent + word
		default:
			line += " " + word
		}
		empty = false
	}
	return append(lines, line)
}
