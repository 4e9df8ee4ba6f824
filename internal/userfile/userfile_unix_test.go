//go:build unix

package userfile

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func fifo(t *testing.T) string {
	t.Helper()
	p := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(p, 0o600); err != nil {
		t.Fatal(err)
	}
	return p
}

func TestFilesPipesAndDevicesAreRead(t *testing.T) {
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte("text"), 0o600); err != nil {
		t.Fatal(err)
	}
	pipe := fifo(t)
	go func() { _ = Write(context.Background(), pipe, []byte("text")) }()
	for path, want := range map[string]string{file: "text", pipe: "text", os.DevNull: ""} {
		if b, err := Read(t.Context(), path, AllowPipes, 10); err != nil || string(b) != want {
			t.Errorf("%s: %q, %v", path, b, err)
		}
	}
	if _, err := Read(t.Context(), file, AllowPipes, 3); !errors.Is(err, ErrTooLarge) {
		t.Errorf("4 bytes where 3 are allowed: %v", err)
	}
	if _, err := Read(t.Context(), "/dev/zero", RefusePipes, 3); !errors.Is(err, ErrTooLarge) {
		t.Errorf("an endless device: %v", err)
	}
}

// Nothing here may block: a test that hangs fails by the test binary's time limit.
func TestWhatCannotBeReadIsRefusedAtOnce(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("unix", filepath.Join(dir, "socket"))
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	for path, pipes := range map[string]Pipes{dir: AllowPipes, filepath.Join(dir, "socket"): AllowPipes, fifo(t): RefusePipes} {
		var kind *KindError
		if _, err := Read(t.Context(), path, pipes, 10); !errors.As(err, &kind) {
			t.Errorf("%s: %v", path, err)
		}
	}
}

// A pipe without a program at its other end is waited for until the context ends.
func TestTheContextEndsWaiting(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	defer out.Close()
	for what, wait := range map[string]func(context.Context) error{
		"read": func(ctx context.Context) error {
			_, err := Read(ctx, fifo(t), AllowPipes, 10)
			return err
		},
		"write": func(ctx context.Context) error { return Write(ctx, fifo(t), []byte("x")) },
		"an open pipe": func(ctx context.Context) error {
			_, err := ParseOpen(ctx, in, "standard input", io.ReadAll)
			return err
		},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		ended := make(chan error)
		go func() { ended <- wait(ctx) }()
		select {
		case err := <-ended:
			t.Errorf("%s: it did not wait: %v", what, err)
			continue
		default:
		}
		cancel()
		var stopped *StoppedError
		if err := <-ended; !errors.As(err, &stopped) || !errors.Is(err, context.Canceled) {
			t.Errorf("%s: %v", what, err)
		}
	}
}
