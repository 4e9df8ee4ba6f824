package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/cmd/seedbed/exit"
)

// If another program changes a shared file, that is reported at the end but is not an error.
func TestAFileThatChangesWhileItIsSharedIsTold(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "film")
	if err := os.WriteFile(path, []byte(strings.Repeat("film", 20_000)), 0o644); err != nil {
		t.Fatal(err)
	}
	read, stdout, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer read.Close()
	stderr, err := os.Create(filepath.Join(dir, "stderr"))
	if err != nil {
		t.Fatal(err)
	}
	defer stderr.Close()
	ctx, interrupt := context.WithTimeout(t.Context(), patience)
	defer interrupt()
	var said strings.Builder
	done := make(chan error, 1)
	go func() {
		b := make([]byte, 64<<10)
		for {
			n, err := read.Read(b)
			if said.Write(b[:n]); err != nil {
				done <- nil
				return
			}
			if strings.Contains(string(b[:n]), `"event":"ready"`) {
				err := os.WriteFile(path, []byte("something else"), 0o644)
				interrupt()
				if err != nil {
					done <- err
					return
				}
			}
		}
	}()
	code := run(ctx, []string{"seed", path, "--json", "--no-dht", "--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "state")}, stdout, stderr)
	stdout.Close()
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if code != exit.OK {
		t.Errorf("exit code %d", code)
	}
	if !strings.Contains(said.String(), `"event":"warning"`) || !strings.Contains(said.String(), path+" is shorter than before") {
		t.Errorf("it said:\n%s", said.String())
	}
}
