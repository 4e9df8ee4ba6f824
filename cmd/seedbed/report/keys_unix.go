//go:build linux || darwin || dragonfly || freebsd || netbsd || openbsd

package report

import (
	"errors"
	"os"
	"os/signal"
	"sync"

	"golang.org/x/sys/unix"
)

// readKeys makes the terminal fd give each key at once, and not echo it. Keys such as Ctrl-C
// still send their signals. restore undoes that; it may be called more than once.
func readKeys(fd int) (restore func(), err error) {
	old, err := unix.IoctlGetTermios(fd, getTermios)
	if err != nil {
		return nil, err
	}
	keys := *old
	keys.Lflag &^= unix.ICANON | unix.ECHO
	keys.Cc[unix.VMIN], keys.Cc[unix.VTIME] = 1, 0
	if err := setMode(fd, &keys); err != nil {
		return nil, err
	}
	// The shell sets its own mode while the process is stopped (Ctrl-Z).
	resumed, ended := make(chan os.Signal, 1), make(chan struct{})
	signal.Notify(resumed, unix.SIGCONT)
	go func() {
		defer close(ended)
		for range resumed {
			_ = setMode(fd, &keys) // it fails in the background
		}
	}()
	return sync.OnceFunc(func() {
		signal.Stop(resumed)
		close(resumed)
		<-ended
		_ = setMode(fd, old) // it fails in the background, where the shell has set its own mode
	}), nil
}

// setMode sets the mode of a terminal. In the background it returns an error, because the
// kernel would stop the process.
func setMode(fd int, mode *unix.Termios) error {
	group, err := unix.IoctlGetInt(fd, unix.TIOCGPGRP)
	if err == nil && group != unix.Getpgrp() {
		return errors.New("another process group uses the terminal")
	}
	return unix.IoctlSetTermios(fd, setTermios, mode) // after an error of TIOCGPGRP too: it is not our controlling terminal
}
