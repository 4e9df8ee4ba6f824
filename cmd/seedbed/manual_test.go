package main

import (
	"flag"
	"os"
	"regexp"
	"strings"
	"testing"

	"github.com/adrg/xdg"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/settings"
)

var update = flag.Bool("update", false, "rewrite the generated sections of the manual")

// generated matches a section of the manual that is generated from the flags of a command.
var generated = regexp.MustCompile(`(?s)<!-- flags of (\w+): go test ./cmd/seedbed -run Manual -update -->\n.*?<!-- end -->\n`)

// The manual lists the flags of every command, with their defaults. These must not contain
// paths of the user who runs the test.
func TestTheManualListsTheFlags(t *testing.T) {
	t.Cleanup(xdg.Reload) // after Setenv has restored HOME
	t.Setenv("HOME", t.TempDir())
	xdg.Reload()
	const path = "../../docs/manual.md"
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	root := rootCommand(&app.App{}, nil)
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
		if !seen[cmd.Name()] && !cmd.Hidden && len(manualFlags(cmd)) > 0 && cmd.Name() != "help" && cmd.Name() != "completion" {
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

// The manual has a section for every command, and the README a row in its table.
func TestTheManualAndTheReadmeNameEveryCommand(t *testing.T) {
	for path, line := range map[string]string{"../../docs/manual.md": "(?m)^### seedbed .*", "../../README.md": "(?m)^\\| `seedbed .*"} {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		heads := strings.Join(regexp.MustCompile(line).FindAllString(string(b), -1), "\n")
		for _, cmd := range rootCommand(&app.App{}, nil).Commands() {
			if cmd.Hidden || cmd.Name() == "help" || cmd.IsAdditionalHelpTopicCommand() {
				continue
			}
			if !regexp.MustCompile(`\b` + cmd.Name() + `\b`).MatchString(heads) {
				t.Errorf("%s has no section or row for %s", path, cmd.Name())
			}
		}
	}
}

// Every text that is written for the manual is in it. seed and publish share flags with
// create, but the --overwrite of get is another flag than that of create.
func TestTheManualShowsEveryText(t *testing.T) {
	root := rootCommand(&app.App{}, nil)
	for name, texts := range manualTexts {
		cmd, _, err := root.Find([]string{name})
		if err != nil {
			t.Fatal(err)
		}
		table := settings.FlagTable(manualFlags(cmd))
		for flag, text := range texts {
			if !strings.Contains(table, text) {
				t.Errorf("the table of %s lacks --%s", name, flag)
			}
		}
	}
}

// Every setting has the texts that the manual, the help and the settings file need.
func TestEverySettingIsDescribed(t *testing.T) {
	cmd, _, err := rootCommand(&app.App{}, nil).Find([]string{"settings"})
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
