// Package hook runs the command of --on-complete. Whatever that command does, the program
// goes on: it is not waited for, and if it fails, that is a warning.
package hook

import (
	"errors"
	"fmt"
	"io/fs"
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

// Hooks runs the command of --on-complete, for one torrent after the other.
type Hooks struct {
	Command settings.Command
	Warn    func(error) // called for a command that fails; from any goroutine

	slots   chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

// Add adds the flag --on-complete.
func (h *Hooks) Add(flags *pflag.FlagSet) {
	flags.Var(&h.Command, "on-complete", "run `CMD` when a torrent is complete, with its name, infohash and folder in the environment")
}

// Completed is what the command finds in its environment.
type Completed struct{ Name, InfoHash, Dir string }

// Run starts the command and returns at once.
func (h *Hooks) Run(c Completed) {
	if len(h.Command.Words) == 0 {
		return
	}
	h.once.Do(func() { h.slots = make(chan struct{}, hooksAtOnce) })
	h.running.Go(func() {
		h.slots <- struct{}{}
		var once sync.Once
		leave := func() { once.Do(func() { <-h.slots }) }
		defer leave()
		defer time.AfterFunc(hookSlot, leave).Stop()
		cmd := exec.Command(h.Command.Words[0], h.Command.Words[1:]...)
		cmd.Env = append(os.Environ(), "SEEDBED_NAME="+c.Name, "SEEDBED_INFOHASH="+c.InfoHash, "SEEDBED_DIR="+c.Dir)
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // stdout carries our results
		if err := cmd.Run(); err != nil {
			h.Warn(fmt.Errorf("--on-complete %s, for %s: %w", h.Command.Words[0], c.Name, reason(err)))
		}
	})
}

// reason says why a command did not start, without repeating its name.
func reason(err error) error {
	var e *exec.Error
	var p *fs.PathError
	switch {
	case errors.As(err, &e):
		return e.Err
	case errors.As(err, &p):
		return p.Err
	}
	return err
}

// Wait gives commands that still run a little time at the end of the program. Those that
// take longer go on without it.
func (h *Hooks) Wait() {
	done := make(chan struct{})
	go func() {
		h.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(hookGrace):
		h.Warn(fmt.Errorf("the command of --on-complete is still running; it continues without seedbed"))
	}
}
