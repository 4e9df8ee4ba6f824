package main

import (
	"bufio"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"seedbed/cmd/seedbed/exit"
)

// The command that publishes under the key does the rollback. The second command prints the
// link and exits with 0.
func TestRollbackWhileTheKeyIsPublished(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "page")
	publish := func(ctx context.Context, out, errs *os.File, more ...string) exit.Code {
		args := []string{"publish", "--key", "k", "--bootstrap", "none", "--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "state")}
		return run(ctx, append(args, more...), out, errs)
	}
	// running publishes in the background until stop is called; until waits for a text in
	// its output.
	running := func(more ...string) (until func(string), stop func()) {
		read, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		ctx, interrupt := context.WithTimeout(t.Context(), patience)
		code := make(chan exit.Code, 1)
		go func() {
			defer out.Close()
			code <- publish(ctx, out, os.Stderr, append(more, "--json")...)
		}()
		lines := bufio.NewScanner(read)
		until = func(what string) {
			t.Helper()
			for lines.Scan() {
				if strings.Contains(lines.Text(), what) {
					return
				}
			}
			t.Fatalf("it ended without saying %s", what)
		}
		return until, func() {
			interrupt()
			for lines.Scan() {
			}
			read.Close()
			if c := <-code; c != exit.OK {
				t.Errorf("exit %d", c)
			}
		}
	}
	for _, content := range []string{"one", "two"} {
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
		until, stop := running(path)
		until(`"event":"published"`)
		stop()
	}
	until, stop := running()
	defer stop()
	until(`"seq":2`)
	said, err := os.Create(filepath.Join(dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	defer said.Close()
	if code := publish(t.Context(), said, said, "--rollback", "1"); code != exit.OK {
		t.Errorf("exit %d", code)
	}
	b, err := os.ReadFile(said.Name())
	if err != nil {
		t.Fatal(err)
	}
	if got := string(b); !strings.Contains(got, "version 1 is published again as version 3") || !strings.Contains(got, "magnet:?xs=urn:btpk:") {
		t.Errorf("it said:\n%s", got)
	}
	until(`"seq":3`)
	if code := publish(t.Context(), said, said, "--rollback", "9"); code != exit.Usage {
		t.Errorf("exit %d for a version that does not exist", code)
	}
}

// publish --all publishes everything it can, and the exit code shows that something failed.
func TestPublishAllReportsWhatFailed(t *testing.T) {
	dir := t.TempDir()
	common := []string{"--bootstrap", "none", "--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "state"), "--json"}
	// until publishes until the output contains all of has.
	until := func(args []string, has ...string) (exit.Code, string) {
		t.Helper()
		read, out, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		defer read.Close()
		ctx, interrupt := context.WithTimeout(t.Context(), patience)
		defer interrupt()
		code := make(chan exit.Code, 1)
		go func() {
			defer out.Close()
			code <- run(ctx, append(args, common...), out, os.Stderr)
		}()
		var said strings.Builder
		for lines := bufio.NewScanner(read); lines.Scan(); {
			said.WriteString(lines.Text() + "\n")
			if !slices.ContainsFunc(has, func(s string) bool { return !strings.Contains(said.String(), s) }) {
				interrupt()
			}
		}
		return <-code, said.String()
	}
	for _, name := range []string{"one", "two"} {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(name), 0o644); err != nil {
			t.Fatal(err)
		}
		if code, said := until([]string{"publish", path, "--key", name}, `"event":"published"`); code != exit.OK {
			t.Fatalf("exit %d: %s", code, said)
		}
	}
	if err := os.Remove(filepath.Join(dir, "one")); err != nil {
		t.Fatal(err)
	}
	code, said := until([]string{"publish", "--all"}, `"event":"published"`, "one is not published")
	if code != exit.NotFound && code != exit.IO || !strings.Contains(said, "1 of 2 publications failed") {
		t.Errorf("exit %d: %s", code, said)
	}
}
