package main

import (
	"context"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/session"
)

// A folder with many torrents, which are opened while they are added: a bad one is reported, one
// that is there twice is seeded once, and all others are seeded, from nothing and again.
func TestAFolderOfManyTorrentsIsSeeded(t *testing.T) {
	const n = session.Many + 10
	dir := t.TempDir()
	in, data := filepath.Join(dir, "in"), filepath.Join(dir, "data")
	write := func(path, content string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for i := range n {
		name := fmt.Sprintf("file%03d", i)
		content := strings.Repeat(name, 100)
		write(filepath.Join(data, name), content)
		hash := sha1.Sum([]byte(content))
		torrent := fmt.Sprintf("d4:infod6:lengthi%de4:name%d:%s12:piece lengthi16384e6:pieces20:%see", len(content), len(name), name, hash[:])
		write(filepath.Join(in, name+".torrent"), torrent)
		if i == 3 {
			write(filepath.Join(in, "twice.torrent"), torrent)
		}
	}
	write(filepath.Join(in, "bad.torrent"), "not a torrent")
	for _, round := range []string{"first", "again"} {
		stdout, err := os.Create(filepath.Join(dir, round))
		if err != nil {
			t.Fatal(err)
		}
		defer stdout.Close()
		ctx, stop := context.WithCancel(t.Context())
		code := make(chan exit.Code, 1)
		go func() {
			code <- run(ctx, []string{"seed", "--json", "--torrents", in, "-d", data, "--no-dht", "--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "state")}, stdout, stdout)
		}()
		said := func() string {
			b, err := os.ReadFile(stdout.Name())
			if err != nil {
				t.Fatal(err)
			}
			return string(b)
		}
		for begun := time.Now(); !strings.Contains(said(), `"event":"ready"`); time.Sleep(20 * time.Millisecond) {
			if time.Since(begun) > patience {
				t.Fatalf("%s: it does not get ready:\n%s", round, said())
			}
		}
		stop()
		if got := <-code; got != exit.Bencode {
			t.Errorf("%s: exit code %d", round, got)
		}
		out := said()
		for what, want := range map[string]int{`"event":"added"`: n, `"event":"seeding"`: n, "bad.torrent is not": 1, "twice": 0,
			fmt.Sprintf("1 of %d torrents failed", n+1): 1} {
			if got := strings.Count(out, what); got != want {
				t.Errorf("%s: %d times %s, not %d", round, got, what, want)
			}
		}
		if got := strings.Count(out, `"event":"progress"`); got < n {
			t.Errorf("%s: the progress of only %d is printed", round, got)
		}
	}
}
