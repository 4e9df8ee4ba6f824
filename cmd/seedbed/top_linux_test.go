package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"seedbed/cmd/seedbed/exit"
)

// top reads single keys of its terminal. However it ends, the terminal has the mode and the screen
// that it had before.
func TestTopRestoresTheTerminal(t *testing.T) {
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	t.Setenv("HOME", dir)
	t.Setenv("XDG_CONFIG_HOME", filepath.Join(dir, "config"))
	t.Setenv("TERM", "xterm")
	daemon, lines := service(t, "daemon", "--no-dht", "--listen", "127.0.0.1:0", "--state", state, "--http", "off", "-d", filepath.Join(dir, "data"))
	says(t, lines, "serving ")
	added, said := service(t, "add", strings.Repeat("ab", 20), "--paused", "--state", state)
	says(t, said, strings.Repeat("ab", 20))
	exits(t, added, exit.OK)

	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	mode := func(y *tty) unix.Termios {
		t.Helper()
		m, err := unix.IoctlGetTermios(int(y.master.Fd()), unix.TCGETS)
		if err != nil {
			t.Fatal(err)
		}
		return *m
	}
	press := func(key string) func(*exec.Cmd, *tty, *tty) {
		return func(_ *exec.Cmd, in, _ *tty) {
			if _, err := in.master.WriteString(key); err != nil {
				t.Error(err)
			}
		}
	}
	signal := func(list ...syscall.Signal) func(*exec.Cmd, *tty, *tty) {
		return func(cmd *exec.Cmd, _, _ *tty) {
			for _, s := range list {
				_ = cmd.Process.Signal(s)
			}
		}
	}
	// As at Ctrl-Z and fg: meanwhile the shell sets a mode of its own.
	stop := func(cmd *exec.Cmd, in, _ *tty) {
		signal(syscall.SIGSTOP)(cmd, in, nil)
		if _, err := syscall.Wait4(cmd.Process.Pid, nil, syscall.WUNTRACED, nil); err != nil {
			t.Error(err)
		}
		shell := mode(in)
		shell.Lflag |= unix.ICANON | unix.ECHO
		if err := unix.IoctlSetTermios(int(in.master.Fd()), unix.TCSETS, &shell); err != nil {
			t.Error(err)
		}
		signal(syscall.SIGCONT)(cmd, in, nil)
		eventually(t, "it reads single keys again", func() bool { return mode(in).Lflag&unix.ICANON == 0 })
		press("q")(cmd, in, nil)
	}
	for name, c := range map[string]struct {
		end  func(cmd *exec.Cmd, in, out *tty)
		args []string
		two  bool // the input and the output are two terminals
		want exit.Code
	}{
		"q":                     {end: press("xyQ\r\x1b[Aq")},
		"q with --quiet":        {end: press("q"), args: []string{"-q"}},
		"Ctrl-C":                {end: press("\x03")},
		"SIGTERM":               {end: signal(syscall.SIGTERM)},
		"SIGTERM twice":         {end: signal(syscall.SIGTERM, syscall.SIGTERM), want: -1},
		"SIGHUP":                {end: signal(syscall.SIGHUP)},
		"a stop, then q":        {end: stop},
		"another output closed": {end: func(_ *exec.Cmd, _, out *tty) { out.File.Close(); out.master.Close() }, two: true},
	} {
		t.Run(name, func(t *testing.T) {
			in := openTTY(t, 80, 24)
			out := in
			if c.two {
				out = openTTY(t, 80, 24)
			}
			if _, err := out.WriteString("$ seedbed top\n"); err != nil {
				t.Fatal(err)
			}
			before := mode(in)
			cmd := exec.Command(exe)
			cmd.Args = append([]string{"seedbed", "top", "--state", state}, c.args...)
			cmd.Stdin, cmd.Stdout, cmd.Stderr = in.File, out.File, out.File
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
			if err := cmd.Start(); err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { _ = cmd.Process.Kill() })
			eventually(t, "the list is shown", func() bool {
				_, screen := out.text()
				return strings.Contains(screen, "NAME") && !strings.Contains(screen, "$ seedbed")
			})
			if mode(in).Lflag&(unix.ICANON|unix.ECHO|unix.ISIG) != unix.ISIG {
				t.Errorf("the mode is %#x", mode(in).Lflag)
			}
			c.end(cmd, in, out)
			if c.want < 0 { // the second signal came before or after the end
				_ = cmd.Wait()
			} else {
				exits(t, cmd, c.want)
			}
			if after := mode(in); after != before {
				t.Errorf("the mode was %+v and is %+v", before, after)
			}
			if c.two {
				in.hangUp()
				return
			}
			faults := in.hangUp()
			if history, screen := in.text(); len(faults) > 0 || history != "" || screen != "$ seedbed top" {
				t.Errorf("faults %q, scrollback %q, screen:\n%s", faults, history, screen)
			}
		})
	}
	_ = daemon.Process.Signal(syscall.SIGTERM)
	exits(t, daemon, exit.OK)
}
