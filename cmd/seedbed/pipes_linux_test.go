package main

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"seedbed/cmd/seedbed/exit"
)

// pipeHome returns a folder with a FIFO and a file, in which commands find nothing of the
// user.
func pipeHome(t *testing.T) (dir, fifo, film string) {
	t.Helper()
	dir = t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Setenv("SEEDBED_STATE", filepath.Join(dir, "state"))
	fifo, film = filepath.Join(dir, "fifo"), filepath.Join(dir, "film")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(film, []byte("film"), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir, fifo, film
}

// writer opens a FIFO for writing as soon as a command opens it for reading.
func writer(t *testing.T, fifo string) (w *os.File) {
	t.Helper()
	eventually(t, "the command opens "+fifo, func() bool {
		var err error
		w, err = os.OpenFile(fifo, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		return err == nil
	})
	return w
}

// The first signal ends a command that waits for a pipe, wherever it is named.
func TestASignalEndsWaitingForAPipe(t *testing.T) {
	dir, fifo, film := pipeHome(t)
	offline := []string{"--no-dht", "--listen", "127.0.0.1:0"}
	for _, args := range [][]string{
		append([]string{"seed", film, "--config", fifo}, offline...),
		append([]string{"seed", film, "--blocklist", fifo}, offline...),
		append([]string{"seed", fifo}, offline...),
		{"show", fifo},
		{"key", "import", "site", fifo},
	} {
		if args[1] == fifo && args[0] == "seed" {
			link := filepath.Join(dir, "pipe.torrent")
			if err := os.Symlink(fifo, link); err != nil {
				t.Fatal(err)
			}
			args[1] = link
		}
		cmd, lines := service(t, args...)
		w := writer(t, fifo)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		said := says(t, lines, "stopped while waiting for ")
		if !strings.Contains(said, filepath.Base(fifo)) && !strings.Contains(said, "pipe.torrent") {
			t.Errorf("%q: %s", args, said)
		}
		exits(t, cmd, exit.Unfinished)
		w.Close()
	}
}

// The first signal ends a command that waits for standard input.
func TestASignalEndsWaitingForStandardInput(t *testing.T) {
	pipeHome(t)
	for _, args := range [][]string{
		{"key", "import", "site", "-"},
		{"dht", "put", "-", "--bootstrap", "none", "--listen", "127.0.0.1:0"},
		{"seed", "--torrents", "-", "--no-dht", "--listen", "127.0.0.1:0"},
	} {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		exe, err := os.Executable()
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(exe)
		var said bytes.Buffer
		cmd.Args = append([]string{"seedbed"}, args...)
		cmd.Stdin, cmd.Stderr = r, &said
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		if _, err := w.WriteString("a"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "it reads standard input", func() bool {
			left, err := unix.IoctlGetInt(int(r.Fd()), unix.TIOCINQ)
			return err == nil && left == 0
		})
		_ = cmd.Process.Signal(syscall.SIGTERM)
		exits(t, cmd, exit.Unfinished)
		if !strings.Contains(said.String(), "stopped ") {
			t.Errorf("%q: %s", args, said.String())
		}
		r.Close()
		w.Close()
	}
}

// A blocklist may come from a pipe, as a shell makes for <(command). It is not read again.
func TestABlocklistFromAPipe(t *testing.T) {
	_, fifo, film := pipeHome(t)
	args := []string{"seed", film, "--no-dht", "--listen", "127.0.0.1:0", "--blocklist", fifo}
	cmd, lines := service(t, args...)
	w := writer(t, fifo)
	if _, err := w.WriteString("192.0.2.0/24\n"); err != nil {
		t.Fatal(err)
	}
	w.Close()
	says(t, lines, "magnet:")
	_ = cmd.Process.Signal(syscall.SIGHUP)
	says(t, lines, "the settings stay as they were: blocklist "+fifo+": is a named pipe, not a file")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	exits(t, cmd, exit.OK)

	cmd, lines = service(t, args...)
	writer(t, fifo).Close()
	says(t, lines, "the pipe gave no addresses")
	exits(t, cmd, exit.Usage)
}

// A pipe or a folder in the place of the settings file that nobody named is refused at once.
func TestTheDefaultSettingsFileIsNoPipe(t *testing.T) {
	dir, _, film := pipeHome(t)
	path := filepath.Join(dir, "config", "seedbed", "config.toml")
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	for what, mk := range map[string]func() error{
		"a named pipe": func() error { return syscall.Mkfifo(path, 0o600) },
		"a folder":     func() error { return os.Mkdir(path, 0o700) },
	} {
		if err := mk(); err != nil {
			t.Fatal(err)
		}
		cmd, lines := service(t, "seed", film, "--no-dht", "--listen", "127.0.0.1:0")
		says(t, lines, path+": is "+what+", not a file")
		exits(t, cmd, exit.Usage)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
}

// A pipe in a folder of torrents holds up nothing.
func TestAPipeInAFolderOfTorrentsIsLeftAlone(t *testing.T) {
	dir, fifo, film := pipeHome(t)
	folder := filepath.Join(dir, "torrents")
	if err := os.Mkdir(folder, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(fifo, filepath.Join(folder, "a.torrent")); err != nil {
		t.Fatal(err)
	}
	made, _ := service(t, "create", film, "-o", filepath.Join(folder, "b.torrent"))
	exits(t, made, exit.OK)
	cmd, lines := service(t, "seed", "--torrents", folder, "-d", dir, "--no-dht", "--listen", "127.0.0.1:0")
	says(t, lines, "magnet:")
	_ = cmd.Process.Signal(syscall.SIGTERM)
	exits(t, cmd, exit.OK)
}
