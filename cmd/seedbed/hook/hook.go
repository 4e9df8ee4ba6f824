// Package hook runs the command of --on-complete. The program does not wait for the command;
// if the command fails, the program reports a warning and continues.
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
	// hooksAtOnce limits how many commands of --on-complete run at once. A command that runs
	// longer than hookSlot no longer counts, so that a few hanging commands do not block
	// later ones.
	hooksAtOnce = 4
	hookSlot    = 10 * time.Minute
	// hookGrace is how long the program waits for running commands when it ends.
	hookGrace = 5 * time.Second
)

// Hooks runs the command of --on-complete for each torrent.
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

// Completed describes the completed torrent; the command gets it in its environment.
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
		cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr // stdout is for our results
		if err := cmd.Run(); err != nil {
			h.Warn(fmt.Errorf("--on-complete %s, for %s: %w", h.Command.Words[0], c.Name, reason(err)))
		}
	})
}

// reason describes why a command did not start, without repeating its name.
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

// Wait waits a short time for running commands at the end of the program. Slower commands
// keep running after it.
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
