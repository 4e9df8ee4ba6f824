package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"sync"
	"testing"

	"golang.org/x/sys/unix"

	"seedbed/internal/vt"
)

// A tty is a pseudo-terminal of the kernel, connected to a vt.Terminal.
type tty struct {
	*os.File // the side that programs write to

	master *os.File
	done   chan struct{}

	mu       sync.Mutex
	term     *vt.Terminal
	received []byte // everything that the terminal was sent
}

// openPTY opens a pseudo-terminal: the side of the terminal, and the side of programs.
func openPTY(t *testing.T) (master, slave *os.File) {
	t.Helper()
	master, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	fd := int(master.Fd())
	n, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err = errors.Join(err, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0)); err != nil {
		t.Skip(err)
	}
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", n), os.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		t.Skip(err)
	}
	return master, slave
}

func openTTY(t *testing.T, cols, rows int) *tty {
	t.Helper()
	master, slave := openPTY(t)
	y := &tty{File: slave, master: master, done: make(chan struct{}), term: vt.New(cols, rows, true)}
	y.resize(t, cols, rows)
	go func() {
		defer close(y.done)
		buf := make([]byte, 4096)
		for {
			n, err := master.Read(buf)
			if err != nil {
				return
			}
			y.mu.Lock()
			_, _ = y.term.Write(buf[:n])
			y.received = append(y.received, buf[:n]...)
			y.mu.Unlock()
		}
	}()
	return y
}

func (y *tty) resize(t *testing.T, cols, rows int) {
	t.Helper()
	y.mu.Lock()
	defer y.mu.Unlock()
	if err := unix.IoctlSetWinsize(int(y.master.Fd()), unix.TIOCSWINSZ, &unix.Winsize{Col: uint16(cols), Row: uint16(rows)}); err != nil {
		t.Fatal(err)
	}
	y.term.Resize(cols, rows)
}

// wasSent reports whether the terminal was sent this text, even if it is no longer on the screen.
func (y *tty) wasSent(text string) bool {
	y.mu.Lock()
	defer y.mu.Unlock()
	return bytes.Contains(y.received, []byte(text))
}

// text returns the scrollback and the screen.
func (y *tty) text() (history, screen string) {
	y.mu.Lock()
	defer y.mu.Unlock()
	return y.term.History(), y.term.Text()
}

// hangUp closes the terminal after everything is read, and returns the faults.
func (y *tty) hangUp() []string {
	y.File.Close()
	<-y.done // the master returns an error when the last user has closed it
	y.master.Close()
	return y.term.Faults
}
