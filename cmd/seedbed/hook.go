package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"sync"
	"time"

	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/settings"
)

const (
	// hooksAtOnce bounds how many commands of --on-complete run at once. One that runs for
	// longer than hookSlot is not counted any more, so that a few that hang do not keep
	// later ones from running.
	hooksAtOnce = 4
	hookSlot    = 10 * time.Minute
	// hookGrace is how long the program waits at its end for commands that still run.
	hookGrace = 5 * time.Second
)

// hooks runs the command of --on-complete. It is no child's keeper: whatever the command
// does, the node goes on, and a failure is a warning.
type hooks struct {
	command settings.Command
	warn    func(error)

	slots   chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

func (h *hooks) add(fs *pflag.FlagSet) {
	fs.Var(&h.command, "on-complete", "run `CMD` when a torrent is complete, with its name, infohash and folder in the environment")
}

// A completed is what a hook is told about.
type completed struct{ name, infohash, dir string }

// run starts the command and returns at once.
func (h *hooks) run(c completed) {
	if len(h.command.Words) == 0 {
		return
	}
	h.once.Do(func() { h.slots = make(chan struct{}, hooksAtOnce) })
	h.running.Go(func() {
		h.slots <- struct{}{}
		var once sync.Once
		leave := func() { once.Do(func() { <-h.slots }) }
		defer leave()
		defer time.AfterFunc(hookSlot, leave).Stop()
		cmd := exec.Command(h.command.Words[0], h.command.Words[1:]...)
		cmd.Env = append(os.Environ(), "SEEDBED_NAME="+c.name, "SEEDBED_INFOHASH="+c.infohash, "SEEDBED_DIR="+c.dir)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // stdout carries our results
		if err := cmd.Run(); err != nil {
			h.warn(fail(exitUnknown, "", fmt.Errorf("--on-complete %s, for %s: %w", h.command.Words[0], c.name, hookError(err))))
		}
	})
}

// hookError says why a command did not start, without repeating its name.
func hookError(err error) error {
	var e *exec.Error
	if errors.As(err, &e) {
		return e.Err
	}
	return reasonOf(err)
}

// wait gives commands that still run a little time at the end of the program. Those that
// take longer go on without it.
func (h *hooks) wait() {
	done := make(chan struct{})
	go func() {
		h.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(hookGrace):
		h.warn(fmt.Errorf("the command of --on-complete is still running; it continues without seedbed"))
	}
}
