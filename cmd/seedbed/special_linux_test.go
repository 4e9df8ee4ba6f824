package main

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"seedbed/cmd/seedbed/exit"
)

// stateOf runs commands once and returns a state directory with every file that they create.
func stateOf(t *testing.T, film string) string {
	t.Helper()
	state := filepath.Join(t.TempDir(), "state")
	until := func(name string, args ...string) {
		cmd, lines := service(t, append(args, "--state", state)...)
		for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
			if found, _ := filepath.Glob(filepath.Join(state, name)); found != nil {
				break
			}
			if time.Now().After(end) {
				_ = cmd.Process.Signal(syscall.SIGQUIT)
				for line := range lines {
					t.Log(line)
				}
				t.Fatalf("%v never makes %s", args, name)
			}
		}
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	}
	until("bootstrap.lock", "bootstrap", "--listen", "127.0.0.1:0")
	until("keys/site", "key", "new", "site")
	until("publications/*/record", "publish", film, "--key", "site", "--bootstrap", "none", "--listen", "127.0.0.1:0")
	until("torrents/*/resume", "seed", film, "--bootstrap", "none", "--listen", "127.0.0.1:0")
	for _, name := range []string{"node.json", "settings.json"} {
		if err := os.WriteFile(filepath.Join(state, name), []byte("{}"), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return state
}

// If a FIFO or a folder has the name of any file in the state directory, no command hangs:
// it works without the file, or ends with an error that names it.
func TestNothingInTheStateDirectoryHangsTheStart(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	film := filepath.Join(dir, "film")
	if err := os.WriteFile(film, []byte("data"), 0o644); err != nil {
		t.Fatal(err)
	}
	template := stateOf(t, film)
	var names []string
	err := filepath.WalkDir(template, func(p string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(template, p)
			names = append(names, rel)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	// Names that only some runs create.
	for _, n := range names {
		if before, ok := strings.CutSuffix(n, "/resume"); ok && strings.HasPrefix(n, "torrents/") {
			for _, also := range []string{"torrent", "peers", "tally", "resume.new", "resume.names", "resume.finish", "resume.journal", "resume.parts"} {
				names = append(names, filepath.Join(before, also))
			}
		}
	}
	if len(names) < 15 {
		t.Fatalf("too few names: %q", names)
	}
	for _, name := range names {
		for what, mk := range map[string]func(string) error{
			"FIFO":   func(p string) error { return syscall.Mkfifo(p, 0o600) },
			"folder": func(p string) error { return os.Mkdir(p, 0o700) },
		} {
			state := filepath.Join(t.TempDir(), "state")
			if err := os.CopyFS(state, os.DirFS(template)); err != nil {
				t.Fatal(err)
			}
			if err := os.Chmod(filepath.Join(state, "keys", "site"), 0o600); err != nil { // CopyFS widens modes
				t.Fatal(err)
			}
			p := filepath.Join(state, name)
			_ = os.Remove(p)
			if err := mk(p); err != nil {
				t.Fatal(err)
			}
			args := []string{"seed", film, "--bootstrap", "none", "--listen", "127.0.0.1:0"}
			switch first, _, _ := strings.Cut(name, "/"); first {
			case "keys":
				args = []string{"key", "export", "site", "-o", filepath.Join(t.TempDir(), "secret")}
			case "publications":
				args = []string{"publish", "--all", "--bootstrap", "none", "--listen", "127.0.0.1:0"}
			case "bootstrap.lock", "bootstrap.ring":
				args = []string{"bootstrap", "--listen", "127.0.0.1:0"}
			}
			started(t, what+" "+name, p, append(args, "--state", state))
		}
	}
}

// started runs a command until it is running or has ended, and ends it.
func started(t *testing.T, what, path string, args []string) {
	t.Helper()
	cmd, lines := service(t, args...)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	var all []string
	up := false
	for open := true; open; {
		select {
		case l, ok := <-lines:
			if open = ok; ok {
				all = append(all, l)
				if isUp := strings.Contains(l, "listening on") || strings.Contains(l, "magnet:"); isUp && !up {
					up = true
					_ = cmd.Process.Signal(syscall.SIGTERM)
				}
			}
		case <-ctx.Done():
			t.Fatalf("%s: %q hangs:\n%s", what, args[0], strings.Join(all, "\n"))
		}
	}
	_ = cmd.Wait()
	said := strings.Join(all, "\n")
	t.Logf("%s: exit %d: %s", what, cmd.ProcessState.ExitCode(), said)
	if code := exit.Code(cmd.ProcessState.ExitCode()); code != exit.OK && code != exit.Unfinished && !strings.Contains(said, filepath.Base(path)) {
		t.Errorf("%s: exit %d and no word of it:\n%s", what, code, said)
	}
}
