package main

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"seedbed/cmd/seedbed/exit"
	"seedbed/node/api/client"
)

// service starts the program in a process without a terminal, and returns its output lines.
func service(t *testing.T, args ...string) (*exec.Cmd, <-chan string) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Args = append([]string{"seedbed"}, args...)
	cmd.Stdout, cmd.Stderr = w, w
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	t.Cleanup(func() { _ = cmd.Process.Kill(); r.Close() })
	return cmd, linesOf(r)
}

// linesOf sends the lines that a process writes.
func linesOf(r *os.File) <-chan string {
	lines := make(chan string, 1000)
	go func() {
		defer close(lines)
		for s := bufio.NewScanner(r); s.Scan(); {
			lines <- s.Text()
		}
	}()
	return lines
}

// says waits for a line that contains text.
func says(t *testing.T, lines <-chan string, text string) string {
	t.Helper()
	var all []string
	for end := time.After(patience); ; {
		select {
		case l, ok := <-lines:
			if !ok {
				t.Fatalf("it ended and never said %q:\n%s", text, strings.Join(all, "\n"))
			}
			if all = append(all, l); strings.Contains(l, text) {
				return l
			}
		case <-end:
			t.Fatalf("it does not say %q:\n%s", text, strings.Join(all, "\n"))
		}
	}
}

func hangUp(t *testing.T, cmd *exec.Cmd) {
	t.Helper()
	if err := cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
}

// Without a terminal, SIGHUP makes seed reload its blocklists and settings. If a list is
// unreadable, nothing changes.
func TestHangupReadsBlocklistsAgain(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	write := func(name, text string) string {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
		return p
	}
	film, list := write("film", "data"), write("list", "192.0.2.0/24\n")
	cmd, lines := service(t, "seed", film, "--no-dht", "--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "state"), "--blocklist", list, "--json")
	_, addr, _ := strings.Cut(says(t, lines, `"listening"`), `"addr":"`)
	addr, _, _ = strings.Cut(addr, `"`)
	says(t, lines, `"ready"`)

	write("list", "no address\n")
	hangUp(t, cmd)
	says(t, lines, "the settings stay as they were")
	write("list", "127.0.0.0/8\n")
	hangUp(t, cmd)
	says(t, lines, "were read again")
	c, err := net.Dial("tcp", addr)
	if err == nil { // refused, or closed at once
		defer c.Close()
		_ = c.SetDeadline(time.Now().Add(patience))
		if _, err = c.Read(make([]byte, 1)); errors.Is(err, os.ErrDeadlineExceeded) {
			t.Error("a blocked address is let in after the list was read again")
		} else if err == nil || !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("reading gives %v", err)
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	exits(t, cmd, exit.OK)
}

// SIGHUP makes a daemon read its settings again. What a client changed stays, except for a setting
// that the file gives another value.
func TestHangupKeepsWhatClientsChanged(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	file := filepath.Join(dir, "config", "seedbed", "config.toml")
	write := func(text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	write("up-limit = 1000\ndown-limit = 1000\n[daemon]\ndir = '" + dir + "/a'\n")
	state := filepath.Join(dir, "state")
	cmd, lines := service(t, "daemon", "--no-dht", "--listen", "127.0.0.1:0", "--state", state, "--http", "off")
	says(t, lines, "serving ")
	c := client.OverSocket(client.SocketPath(state))
	if _, err := c.SetSettings(t.Context(), map[string][]string{"up-limit": {"5"}, "down-limit": {"6"}, "alt-up-limit": {"7"}}); err != nil {
		t.Fatal(err)
	}
	write("up-limit = 1000\ndown-limit = 'fast'\n")
	hangUp(t, cmd)
	says(t, lines, "the settings stay as they were")
	write("up-limit = 1000\ndown-limit = 2000\n[daemon]\ndir = '" + dir + "/b'\n")
	hangUp(t, cmd)
	says(t, lines, "were read again")
	got := map[string]string{}
	l, err := c.Settings(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range l.Settings {
		got[s.Setting] = s.Value
	}
	for name, want := range map[string]string{"up-limit": "5", "down-limit": "2000", "alt-up-limit": "7", "dir": filepath.Join(dir, "b")} {
		if got[name] != want {
			t.Errorf("%s is %q, not %q", name, got[name], want)
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	exits(t, cmd, exit.OK)
}

// A daemon adds what is put into a watched folder, also one that SIGHUP adds.
func TestADaemonAddsWhatIsPutIntoAFolder(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	write := func(name, text string) {
		t.Helper()
		if err := os.MkdirAll(filepath.Dir(filepath.Join(dir, name)), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	appears := func(name string) {
		t.Helper()
		for end := time.Now().Add(patience); ; time.Sleep(20 * time.Millisecond) {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				return
			}
			if time.Now().After(end) {
				t.Fatalf("%s does not appear", name)
			}
		}
	}
	write("config/seedbed/config.toml", "[daemon]\nwatch-dir = '"+dir+"/one category=film label=new paused'\n")
	write("one/a.magnet", "magnet:?xt=urn:btih:"+strings.Repeat("ab", 20)+"\n"+strings.Repeat("cd", 20)+"\n")
	write("one/b.torrent", "no torrent")
	state := filepath.Join(dir, "state")
	cmd, lines := service(t, "daemon", "--no-dht", "--listen", "127.0.0.1:0", "--state", state, "--http", "off", "-d", filepath.Join(dir, "data"))
	says(t, lines, "serving ")
	appears("one/a.magnet.added")
	appears("one/b.torrent.invalid")
	write("config/seedbed/config.toml", "[daemon]\nwatch-dir = ['"+dir+"/two paused']\n")
	hangUp(t, cmd)
	says(t, lines, "were read again")
	write("two/c.magnet", strings.Repeat("ef", 20))
	appears("two/c.magnet.added")
	all, err := client.OverSocket(client.SocketPath(state)).List(t.Context(), client.Filter{})
	if err != nil || len(all) != 3 || all[0].Category != "film" || all[0].State != "paused" || len(all[1].Labels) != 1 || all[2].Category != "" {
		t.Errorf("%+v, %v", all, err)
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	exits(t, cmd, exit.OK)
}

// Without a terminal, SIGHUP makes bootstrap save its ring and continue.
func TestHangupLeavesABootstrapNodeRunning(t *testing.T) {
	state := t.TempDir()
	cmd, lines := service(t, "bootstrap", "--listen", "127.0.0.1:0", "--state", state)
	says(t, lines, "listening on")
	hangUp(t, cmd)
	ring := filepath.Join(state, "bootstrap.ring")
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		if _, err := os.Stat(ring); err == nil {
			break
		}
		if time.Now().After(end) {
			t.Fatal("the ring is not saved")
		}
	}
	_ = cmd.Process.Signal(syscall.SIGTERM)
	exits(t, cmd, exit.OK)
}

// SIGHUP ends a command without settings to reload, and every command whose terminal closes.
// Each saves first, as at SIGTERM.
func TestHangupEndsACommandCleanly(t *testing.T) {
	dir := t.TempDir()
	get := []string{"get", "magnet:?xt=urn:btih:00000000000000000000000000000000000000cc", "--bootstrap", "none", "--listen", "127.0.0.1:0",
		"--state", filepath.Join(dir, "get"), "-d", dir}
	t.Run("get without a terminal", func(t *testing.T) {
		cmd, lines := service(t, get...)
		says(t, lines, "listening on")
		hangUp(t, cmd)
		exits(t, cmd, exit.Unfinished)
	})
	get[7] = filepath.Join(dir, "get2")
	for name, c := range map[string]struct {
		args []string
		lock string // created when the command starts
		want exit.Code
	}{
		"get":       {get, "get2/node.lock", exit.Unfinished},
		"bootstrap": {[]string{"bootstrap", "--listen", "127.0.0.1:0", "--state", filepath.Join(dir, "boot")}, "boot/bootstrap.lock", exit.OK},
	} {
		t.Run(name+" whose terminal closes", func(t *testing.T) {
			master, slave := openPTY(t)
			exe, err := os.Executable()
			if err != nil {
				t.Fatal(err)
			}
			cmd := exec.Command(exe)
			cmd.Args = append([]string{"seedbed"}, c.args...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = slave, slave, slave
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			slave.Close()
			for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
				if _, err := os.Stat(filepath.Join(dir, c.lock)); err == nil {
					break
				}
				if time.Now().After(end) {
					t.Fatal("it does not start")
				}
			}
			_ = master.Close() // the kernel sends SIGHUP, and writing gives EIO
			exits(t, cmd, c.want)
		})
	}
	if _, err := os.Stat(filepath.Join(dir, "boot", "bootstrap.ring")); err != nil {
		t.Errorf("the ring is lost: %v", err)
	}
}
