package main

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"seedbed/cmd/seedbed/exit"
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
	ended := make(chan exit.Code, 1)
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
	// Before the kernel echoes it, it discards what was written and not yet received.
	for !y.wasSent("^C") {
		if t.Context().Err() != nil {
			t.Fatal("^C is not echoed")
		}
		time.Sleep(time.Millisecond)
	}
	interrupt()
	if code := <-ended; code != exit.Unfinished {
		t.Errorf("exit %d", code)
	}
	faults := y.hangUp()
	history, screen := y.text()
	if len(faults) > 0 || history != "" || strings.ContainsAny(screen, "━┄") || strings.Contains(screen, "^C") {
		t.Errorf("faults %q, scrollback %q, screen:\n%s", faults, history, screen)
	}
	flat := strings.ReplaceAll(screen, "\n", " ") // long lines are broken at blanks
	if !strings.HasPrefix(screen, "listening on 127.0.0.1:") || !strings.Contains(flat, "seedbed: stopped: downloaded ") || !strings.HasSuffix(flat, "run the same command again to resume") {
		t.Errorf("screen:\n%s", screen)
	}
}

// A second signal right after the first ends the process, but not before the progress is
// removed from the terminal.
func TestATerminalIsCleanAfterTwoInterrupts(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TERM", "xterm")
	y := openTTY(t, 80, 24)
	cmd := program(t, y.File, "get", "magnet:?xt=urn:btih:00000000000000000000000000000000000000cc", "-d", dir, "--no-dht",
		"--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "state"))
	for { // until the progress is drawn below the message
		if _, screen := y.text(); strings.Contains(screen, "listening on") && strings.Contains(screen, "metadata") {
			break
		}
		if cmd.ProcessState != nil || t.Context().Err() != nil {
			t.Fatal("no progress is drawn")
		}
		time.Sleep(10 * time.Millisecond)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	for stop := false; !stop; {
		_ = cmd.Process.Signal(syscall.SIGINT)
		select {
		case <-ended:
			stop = true
		case <-time.After(time.Millisecond):
		}
	}
	faults := y.hangUp()
	if _, screen := y.text(); len(faults) > 0 || strings.Contains(screen, "metadata") {
		t.Errorf("faults %q, screen:\n%s", faults, screen)
	}
}

// What the command of --on-complete prints is above the progress, also what it prints
// without a line break.
func TestTheOutputOfAHookIsAboveTheProgress(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("TERM", "xterm")
	if err := os.WriteFile(filepath.Join(dir, "film"), []byte("film"), 0o644); err != nil {
		t.Fatal(err)
	}
	y := openTTY(t, 80, 24)
	ctx, interrupt := context.WithCancel(t.Context())
	ended := make(chan exit.Code, 1)
	go func() {
		ended <- run(ctx, []string{"seed", filepath.Join(dir, "film"), "--no-dht", "--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "state"),
			"--on-complete", "sh -c 'echo first line; printf second'"}, y.File, y.File)
	}()
	for {
		_, screen := y.text()
		if lines := strings.Split(screen, "\n"); slices.Contains(lines, "first line") && slices.Contains(lines, "second") && strings.Contains(lines[len(lines)-1], "seeding") {
			break
		}
		select {
		case code := <-ended:
			t.Fatalf("exit %d:\n%s", code, screen)
		case <-t.Context().Done():
			t.Fatalf("screen:\n%s", screen)
		case <-time.After(20 * time.Millisecond):
		}
	}
	interrupt()
	if code := <-ended; code != exit.OK {
		t.Errorf("exit %d", code)
	}
	if faults := y.hangUp(); len(faults) > 0 {
		t.Errorf("faults %q", faults)
	}
}
