//go:build unix

package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"seedbed/cmd/seedbed/exit"
	"seedbed/node"
)

// full returns a pipe whose buffer is full.
func full(t *testing.T) (r, w *os.File) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe(fds[:]); err != nil {
		t.Fatal(err)
	}
	if err := unix.SetNonblock(fds[1], true); err != nil {
		t.Fatal(err)
	}
	for _, chunk := range []int{1 << 16, 1} {
		for err := error(nil); err == nil; {
			_, err = unix.Write(fds[1], bytes.Repeat([]byte("\n"), chunk))
		}
	}
	if err := unix.SetNonblock(fds[1], false); err != nil {
		t.Fatal(err)
	}
	r, w = os.NewFile(uintptr(fds[0]), "read"), os.NewFile(uintptr(fds[1]), "write")
	t.Cleanup(func() { r.Close(); w.Close() })
	return r, w
}

// eventually waits until ok returns true.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("never: %s", what)
		}
	}
}

// program starts the program in a process.
func program(t *testing.T, stdout *os.File, args ...string) *exec.Cmd {
	t.Helper()
	return programWith(t, stdout, nil, args...)
}

func programWith(t *testing.T, stdout, stderr *os.File, args ...string) *exec.Cmd {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Args = append([]string{"seedbed"}, args...) // the name that TestMain checks for
	if stdout != nil {
		cmd.Stdout = stdout
	}
	if stderr != nil {
		cmd.Stderr = stderr
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = cmd.Process.Kill() }) // it has ended, unless the test failed
	return cmd
}

// exits waits for a process to end and checks its exit code.
func exits(t *testing.T, cmd *exec.Cmd, want exit.Code) {
	t.Helper()
	late := time.AfterFunc(patience, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	err := cmd.Wait()
	var x *exec.ExitError
	if err != nil && !errors.As(err, &x) {
		t.Fatal(err)
	}
	if got := cmd.ProcessState.ExitCode(); got != int(want) {
		t.Errorf("exit code %d (%v), want %d", got, err, want)
	}
}

// shared seeds a torrent in this process, and returns its data and its link, which names us
// as a peer.
func shared(t *testing.T) (link string, data []byte) {
	t.Helper()
	dir := t.TempDir()
	n, err := node.Open(node.Config{State: filepath.Join(dir, "state"), Listen: "127.0.0.1:0", NoDHT: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = n.Close(context.Background()) })
	data = []byte(strings.Repeat("seedbed ", 400_000))
	path := filepath.Join(dir, "film")
	if err := os.WriteFile(path, data, 0o644); err != nil {
		t.Fatal(err)
	}
	spec, err := node.Share(t.Context(), path, node.ShareOptions{})
	if err != nil {
		t.Fatal(err)
	}
	tor, err := n.Add(spec)
	if err != nil {
		t.Fatal(err)
	}
	return tor.Link() + "&x.pe=" + n.Addrs()[0].String(), data
}

// appears waits until a file has the content data.
func appears(t *testing.T, path string, data []byte) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if b, err := os.ReadFile(path); err == nil && bytes.Equal(b, data) {
			return
		}
		if time.Now().After(end) {
			t.Fatal("the download is not complete")
		}
	}
}

// If nobody reads stdout, downloads continue, and a signal still ends the process.
func TestAStdoutThatNobodyReadsStopsNothing(t *testing.T) {
	link, data := shared(t)
	for name, args := range map[string][]string{
		"json":  {"--json"},
		"lines": nil,
		"quiet": {"-q"}, // it prints the link when it seeds
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			_, w := full(t)
			cmd := program(t, w, append([]string{"get", link, "--seed", "--no-dht", "--listen", "127.0.0.1:0", "-d", dir, "--state", filepath.Join(dir, "state")}, args...)...)
			appears(t, filepath.Join(dir, "film"), data)
			if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
				t.Fatal(err)
			}
			exits(t, cmd, exit.OK)
		})
	}
}

// If nobody reads the log on stderr, downloads continue, and a signal still ends the process.
func TestALogThatNobodyReadsStopsNothing(t *testing.T) {
	link, data := shared(t)
	dir := t.TempDir()
	_, w := full(t)
	cmd := programWith(t, nil, w, "get", link, "-vv", "--seed", "--no-dht", "--listen", "127.0.0.1:0", "-d", dir, "--state", filepath.Join(dir, "state"))
	appears(t, filepath.Join(dir, "film"), data)
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	exits(t, cmd, exit.OK)
	if _, err := os.Stat(filepath.Join(dir, "state", "torrents")); err != nil {
		t.Error("the state was not saved:", err)
	}
}

// An error message waits for its reader, and a signal ends that.
func TestASignalEndsACommandWhoseErrorNobodyReads(t *testing.T) {
	dir := t.TempDir()
	out, err := os.Create(filepath.Join(dir, "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	_, w := full(t)
	cmd := programWith(t, out, w, "create", filepath.Join(dir, "none"), "--json")
	eventually(t, "the error is on stdout", func() bool { // next is that on stderr
		b, err := os.ReadFile(out.Name())
		return err == nil && bytes.Contains(b, []byte(`"event":"error"`))
	})
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	exits(t, cmd, exit.NotFound)
}

// Events wait for a slow reader: none is lost, and the command waits until all are read.
func TestEventsWaitForASlowReader(t *testing.T) {
	link, data := shared(t)
	dir := t.TempDir()
	r, w := full(t)
	cmd := program(t, w, "get", link, "--json", "--no-dht", "--listen", "127.0.0.1:0", "-d", dir, "--state", filepath.Join(dir, "state"))
	w.Close()
	appears(t, filepath.Join(dir, "film"), data)
	var got []string
	for lines := bufio.NewScanner(r); lines.Scan(); {
		for _, kind := range []string{"listening", "added", "metadata", "first_piece", "complete"} {
			if strings.Contains(lines.Text(), `"event":"`+kind+`"`) {
				got = append(got, kind)
			}
		}
	}
	if strings.Join(got, " ") != "listening added metadata first_piece complete" {
		t.Errorf("events: %v", got)
	}
	exits(t, cmd, exit.OK)
}

// A bootstrap node saves its state and ends normally, too.
func TestASignalEndsABootstrapNodeThatNobodyReads(t *testing.T) {
	dir := t.TempDir()
	_, w := full(t)
	cmd := program(t, w, "bootstrap", "--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "ring"))
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if files, err := os.ReadDir(filepath.Join(dir, "ring")); err == nil && len(files) > 0 {
			break
		}
		if time.Now().After(end) {
			t.Fatal("it does not start")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	exits(t, cmd, exit.OK)
}

// A command without a node ends, too.
func TestASignalEndsACommandWhoseResultNobodyReads(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "film"), []byte("film"), 0o644); err != nil {
		t.Fatal(err)
	}
	_, w := full(t)
	made := filepath.Join(dir, "film.torrent")
	cmd := program(t, w, "create", filepath.Join(dir, "film"), "-o", made)
	for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
		if _, err := os.Stat(made); err == nil {
			break // what follows is the result, on stdout
		}
		if time.Now().After(end) {
			t.Fatal("no torrent is made")
		}
	}
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	exits(t, cmd, exit.Unfinished)
}
