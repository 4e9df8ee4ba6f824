package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
)

// writeManPages writes the manual pages into a folder that it returns.
func writeManPages(t *testing.T) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "man")
	if code := run(t.Context(), []string{"man-pages", dir, "--date", "2026-01-31", "-q"}, os.Stdout, os.Stderr); code != exit.OK {
		t.Fatalf("man-pages: exit %d", code)
	}
	return dir
}

// Every command and topic has a page, with all its flags. The page of the settings file has every
// setting.
func TestManPagesDescribeEveryCommand(t *testing.T) {
	dir := writeManPages(t)
	read := func(name string) string {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Error(err)
		}
		return string(b)
	}
	root := rootCommand(&app.App{}, nil)
	pages := 1 // that of the settings file
	for _, cmd := range append(below(root), root) {
		if cmd.Hidden || cmd.Name() == "help" {
			continue
		}
		pages++
		section := 1
		if cmd.IsAdditionalHelpTopicCommand() {
			section = 7
		}
		text := read(fmt.Sprintf("%s.%d", strings.ReplaceAll(cmd.CommandPath(), " ", "-"), section))
		if section != 1 {
			continue
		}
		cmd.InheritedFlags() // makes the flags of the parents known to cmd
		cmd.Flags().VisitAll(func(f *pflag.Flag) {
			if flag := strings.ReplaceAll("--"+f.Name, "-", `\-`); !f.Hidden && f.Name != "help" && !strings.Contains(text, flag) {
				t.Errorf("the page of %s lacks --%s", cmd.CommandPath(), f.Name)
			}
		})
	}
	if files, err := os.ReadDir(dir); err != nil || len(files) != pages {
		t.Errorf("%d pages, want %d: %v", len(files), pages, err)
	}
	config := read("seedbed-config.5")
	for _, command := range []string{"settings", "daemon"} {
		cmd, _, _ := root.Find([]string{command})
		cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
			if key := strings.ReplaceAll("\n\\fB"+f.Name+" =", "-", `\-`); !f.Hidden && f.Name != "help" && !strings.Contains(config, key) {
				t.Errorf("seedbed-config(5) lacks %s", f.Name)
			}
		})
	}
}

// The pages are valid for mandoc, which is strict, also where a text has backslashes or begins with a dot.
func TestManPagesAreValid(t *testing.T) {
	if _, err := exec.LookPath("mandoc"); err != nil {
		if os.Getenv("SEEDBED_REQUIRE_PEERS") != "" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	pages, err := filepath.Glob(filepath.Join(writeManPages(t), "*"))
	if err != nil || len(pages) == 0 {
		t.Fatalf("%d pages: %v", len(pages), err)
	}
	if out, err := exec.Command("mandoc", append([]string{"-Tlint", "-W", "warning"}, pages...)...).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("mandoc: %v\n%s", err, out)
	}
}
