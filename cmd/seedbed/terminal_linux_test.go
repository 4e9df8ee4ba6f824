package main

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/node"
)

// After a download on a terminal that is resized and then interrupted, the messages stay and
// the progress is gone.
func TestATerminalIsCleanAfterAnInterrupt(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("SEEDBED_STATE", filepath.Join(dir, "state"))
	t.Setenv("TERM", "xterm")
	if err := os.WriteFile(filepath.Join(dir, "film"), make([]byte, 8<<20), 0o644); err != nil {
		t.Fatal(err)
	}
	n, err := node.Open(node.Config{State: filepath.Join(dir, "seeder"), Listen: "127.0.0.1:0", NoDHT: true, Settings: node.Settings{UpRate: 100_000}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	spec, err := node.Share(t.Context(), filepath.Join(dir, "film"), node.ShareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	seeded, err := n.Add(spec)
	if err != nil {
		t.Fatal(err)
	}

	y := openTTY(t, 80, 24)
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan exitCode, 1)
	go func() {
		ended <- run(ctx, []string{"get", seeded.Link(), "-d", filepath.Join(dir, "got"), "--no-dht", "--listen", "127.0.0.1:0",
			"--peer", n.Addrs()[0].String()}, y.File, y.File)
	}()
	// bar waits for a progress bar of this width and returns its line.
	bar := func(cols int) string {
		for {
			_, screen := y.text()
			lines := strings.Split(screen, "\n")
			last := lines[len(lines)-1]
			if r := len([]rune(last)); strings.HasPrefix(last, "film ") && strings.Contains(last, " % ") && r < cols && r > cols/2 {
				return last
			}
			select {
			case code := <-ended:
				t.Fatalf("exit %d:\n%s", code, screen)
			case <-t.Context().Done():
				t.Fatalf("no bar of %d columns:\n%s", cols, screen)
			case <-time.After(20 * time.Millisecond):
			}
		}
	}
	for _, cols := range []int{80, 40, 120, 60, 80} {
		y.resize(t, cols, 24)
		if b := bar(cols); !strings.Contains(b, "↓") {
			t.Errorf("no rate at %d columns: %q", cols, b)
		}
	}
	if _, err := y.master.WriteString("\x03"); err != nil { // echoed as ^C
		t.Fatal(err)
	}
	for range 500 { // until it appears; the next draw hides it again
		if _, screen := y.text(); strings.Contains(screen, "^C") {
			break
		}
		time.Sleep(time.Millisecond)
	}
	interrupt()
	if code := <-ended; code != exitUnfinished {
		t.Errorf("exit %d", code)
	}
	faults := y.hangUp()
	history, screen := y.text()
	if len(faults) > 0 || history != "" || strings.ContainsAny(screen, "━┄") || strings.Contains(screen, "^C") {
		t.Errorf("faults %q, scrollback %q, screen:\n%s", faults, history, screen)
	}
	flat := strings.ReplaceAll(screen, "\n", "") // the terminal wraps
	if !strings.HasPrefix(screen, "listening on 127.0.0.1:") || !strings.Contains(flat, "seedbed: stopped: downloaded ") || !strings.HasSuffix(flat, "run the same command again to resume") {
		t.Errorf("screen:\n%s", screen)
	}
}
