package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
)

// Every help fits 80 columns, except lines of examples and single long words, and loses no
// word.
func TestHelpFitsTheTerminal(t *testing.T) {
	root := rootCommand(&app.App{}, nil)
	for _, cmd := range append(below(root), root) {
		path := filepath.Join(t.TempDir(), "help")
		out, err := os.Create(path)
		if err != nil {
			t.Fatal(err)
		}
		args := append(strings.Fields(cmd.CommandPath())[1:], "--help")
		if code := run(context.Background(), args, out, out); code != exit.OK {
			t.Errorf("%v: exit %d", args, code)
		}
		out.Close()
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		checkHelp(t, cmd, string(b))
	}
}

func checkHelp(t *testing.T, cmd *cobra.Command, help string) {
	t.Helper()
	examples := false
	for line := range strings.SplitSeq(help, "\n") {
		if strings.HasSuffix(line, ":") && !strings.HasPrefix(line, " ") {
			examples = line == "Examples:"
		}
		if !examples && utf8.RuneCountInString(line) > 80 && strings.Contains(strings.TrimSpace(line), " ") {
			t.Errorf("%s --help: %q", cmd.CommandPath(), line)
		}
	}
	cmd.InitDefaultHelpFlag()
	words := strings.Join(strings.Fields(help), " ")
	texts := []string{cmd.Long, cmd.Example}
	if cmd.Runnable() {
		texts = append(texts, cmd.LocalFlags().FlagUsages())
	}
	for _, text := range texts {
		if want := strings.Join(strings.Fields(text), " "); !strings.Contains(words, want) {
			t.Errorf("%s --help lacks part of %q:\n%s", cmd.CommandPath(), want, help)
		}
	}
}

// A narrow terminal wraps the descriptions below each other.
func TestHelpOnANarrowTerminal(t *testing.T) {
	const text = `A paragraph that was written
in two lines.

Examples:
  seedbed get some-long-example-that-stays

Flags:
  -d, --dir DIR   download into DIR, which is made
      --no-dht    stay out of it
`
	const want = `A paragraph that was written in two
lines.

Examples:
  seedbed get some-long-example-that-stays

Flags:
  -d, --dir DIR   download into DIR,
                  which is made
      --no-dht    stay out of it
`
	if got := wrapHelp(text, 36); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}
