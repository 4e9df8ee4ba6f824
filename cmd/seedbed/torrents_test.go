package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/cmd/seedbed/exit"
)

// A folder of torrents is watched: invalid and incomplete ones are reported, the others are
// seeded, a new file is added, and the exit code shows that some failed.
func TestAFolderOfTorrentsIsWatched(t *testing.T) {
	dir := t.TempDir()
	in, data := filepath.Join(dir, "in"), filepath.Join(dir, "data")
	for _, d := range []string{in, data} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	stdout, err := os.Create(filepath.Join(dir, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	defer stdout.Close()
	write := func(path, content string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"good", "absent", "late"} {
		write(filepath.Join(data, name), strings.Repeat(name, 10_000))
		if code := run(t.Context(), []string{"create", filepath.Join(data, name), "-q", "-o", filepath.Join(dir, name+".torrent")}, stdout, stdout); code != exit.OK {
			t.Fatal(code)
		}
	}
	move := func(name string) {
		t.Helper()
		if err := os.Rename(filepath.Join(dir, name), filepath.Join(in, name)); err != nil {
			t.Fatal(err)
		}
	}
	write(filepath.Join(in, "bad.torrent"), "this is not bencoded")
	move("good.torrent")
	move("absent.torrent")
	if err := os.Remove(filepath.Join(data, "absent")); err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	defer stop()
	code := make(chan exit.Code, 1)
	go func() {
		code <- run(ctx, []string{"seed", "--json", "--torrents", in, "-d", data, "--no-dht", "--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "state")}, stdout, stdout)
	}()
	saw := func(parts ...string) {
		t.Helper()
		for begun := time.Now(); ; time.Sleep(20 * time.Millisecond) {
			b, err := os.ReadFile(stdout.Name())
			if err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(string(b)) {
				all := true
				for _, p := range parts {
					all = all && strings.Contains(line, p)
				}
				if all {
					return
				}
			}
			if time.Since(begun) > patience {
				t.Fatalf("no line with %q in\n%s", parts, b)
			}
		}
	}
	saw(`"event":"seeding"`, "dn=good")
	saw(`"event":"warning"`, "bad.torrent")
	saw(`"event":"failed"`, "absent")
	move("late.torrent")
	saw(`"event":"seeding"`, "dn=late")
	stop()
	if got := <-code; got != exit.Bencode {
		t.Errorf("exit code %d", got)
	}
	saw(`"event":"error"`, "2 of 4 torrents failed")
}
