package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"seedbed/cmd/seedbed/settings"
)

var update = flag.Bool("update", false, "rewrite the generated sections of the manual")

// generated matches a section of the manual that is generated from the flags of a command.
var generated = regexp.MustCompile(`(?s)<!-- flags of (\w+): go test ./cmd/seedbed -run Manual -update -->\n.*?<!-- end -->\n`)

// The manual lists the flags of every command, with their defaults.
func TestTheManualListsTheFlags(t *testing.T) {
	const path = "../../docs/manual.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	root := (&app{}).rootCommand()
	seen := map[string]bool{}
	fresh := generated.ReplaceAllStringFunc(string(b), func(section string) string {
		name := generated.FindStringSubmatch(section)[1]
		seen[name] = true
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		head, _, _ := strings.Cut(section, "\n")
		return head + "\n" + settings.FlagTable(manualFlags(cmd)) + "<!-- end -->\n"
	})
	for _, cmd := range root.Commands() {
		if !seen[cmd.Name()] && len(manualFlags(cmd)) > 0 && cmd.Name() != "help" && cmd.Name() != "completion" {
			t.Errorf("the manual has no section for the flags of %s", cmd.Name())
		}
	}
	switch {
	case fresh == string(b):
	case *update:
		if err := os.WriteFile(path, []byte(fresh), 0o644); err != nil {
			t.Fatal(err)
		}
	default:
		t.Error("the manual's flags are stale: go test ./cmd/seedbed -run Manual -update")
	}
}

// Every setting has the texts that the manual, the help and the settings file need.
func TestEverySettingIsDescribed(t *testing.T) {
	cmd, _, err := (&app{}).rootCommand().Find([]string{"settings"})
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range settings.Table {
		f := cmd.Flags().Lookup(s.Name)
		if f == nil || s.Help == "" || !settings.IsSetting(f) {
			t.Errorf("%s: %+v", s.Name, f)
		}
	}
}
