package settings

import (
	"fmt"
	"strings"

	"github.com/spf13/pflag"
)

// manualText is the annotation with the manual's text on a flag.
const manualText = "seedbed_manual"

// Describe sets the manual's text on a flag, if it is more than its help.
func Describe(fs *pflag.FlagSet, flag, text string) {
	f := fs.Lookup(flag)
	if f.Annotations == nil {
		f.Annotations = map[string][]string{}
	}
	f.Annotations[manualText] = []string{text}
}

// FlagTable returns the manual's table of the flags, in the given order.
func FlagTable(flags []*pflag.Flag) string {
	var b strings.Builder
	b.WriteString("| flag | meaning |\n|---|---|\n")
	for _, f := range flags {
		b.WriteString("| `" + cell(Spelling(f)) + "` | " + cell(Meaning(f)) + " |\n")
	}
	return b.String()
}

// cell escapes a text for a table.
func cell(s string) string { return strings.ReplaceAll(s, "|", "\\|") }

// Spelling returns a flag as it is written, with a placeholder for its value.
func Spelling(f *pflag.Flag) string {
	arg, _ := pflag.UnquoteUsage(f)
	text := "--" + f.Name
	if f.Shorthand != "" {
		text = "-" + f.Shorthand + ", " + text
	}
	if arg != "" && f.NoOptDefVal == "" {
		text += " " + arg
	}
	return text
}

// Meaning returns the manual's text on a flag, in Markdown, with its default.
func Meaning(f *pflag.Flag) string {
	_, text := pflag.UnquoteUsage(f)
	if m := f.Annotations[manualText]; m != nil {
		text = m[0]
	}
	switch f.DefValue {
	case "", "0", "false", "[]", ".":
		return text
	}
	if strings.Contains(text, "default") {
		return text
	}
	return fmt.Sprintf("%s (default %s)", text, f.DefValue)
}
