// Package hook runs the command of --on-complete for each torrent that is complete.
// Commands run in the background. A command that fails causes a warning and does not affect
// the torrents.
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

	"seedbed/internal/option"
	"seedbed/node/daemon/hook"
)

const (
	// maxRunning limits the number of commands that run at once. A command that has run for
	// slotTime no longer counts, so that a few hanging commands do not block later ones.
	maxRunning = 4
	slotTime   = 10 * time.Minute
	// maxWait is the maximum time that Wait waits.
	maxWait = 5 * time.Second
)

// Hooks runs the command of --on-complete for each torrent.
type Hooks struct {
	Command option.Command
	Warn    func(error) // called for a command that fails; from any goroutine
	// Printer returns the function that prints a line of a command's output, or nil if the
	// command can write to stderr itself. Printer may be nil, too.
	Printer func() func(line string)

	slots   chan struct{}
	once    sync.Once
	running sync.WaitGroup
}

// Add adds the flag --on-complete to flags.
func (h *Hooks) Add(flags *pflag.FlagSet) {
	flags.Var(&h.Command, "on-complete", "run `CMD` when a torrent is complete, with its name, infohash and folder in the environment")
}

// IsSet reports whether there is a command to run.
func (h *Hooks) IsSet() bool { return h != nil && len(h.Command.Words) > 0 }

// Completed describes the completed torrent; the command gets it in its environment.
type Completed struct{ Name, InfoHash, Dir string }

// Run starts the command and returns at once.
func (h *Hooks) Run(c Completed) {
	if !h.IsSet() {
		return
	}
	h.once.Do(func() { h.slots = make(chan struct{}, maxRunning) })
	h.running.Go(func() {
		h.slots <- struct{}{}
		var once sync.Once
		release := func() { once.Do(func() { <-h.slots }) }
		defer release()
		defer time.AfterFunc(slotTime, release).Stop()
		cmd := exec.Command(h.Command.Words[0], h.Command.Words[1:]...)
		cmd.Env = append(os.Environ(), "SEEDBED_NAME="+c.Name, "SEEDBED_INFOHASH="+c.InfoHash, "SEEDBED_DIR="+c.Dir)
		if err := h.run(cmd); err != nil {
			h.Warn(fmt.Errorf("--on-complete %s failed for %s: %w", h.Command.Words[0], c.Name, reason(err)))
		}
	})
}

// run runs cmd. Its output goes to the printer if there is one.
func (h *Hooks) run(cmd *exec.Cmd) error {
	if h.Printer != nil {
		if print := h.Printer(); print != nil {
			return hook.Relay(cmd, print)
		}
	}
	return hook.RunDirect(cmd)
}

// reason returns the cause of err without the name of the command.
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

// Wait waits up to 5 seconds for the running commands. It is called at the end of the
// program; commands that take longer continue after it.
func (h *Hooks) Wait() {
	done := make(chan struct{})
	go func() {
		h.running.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-time.After(maxWait):
		h.Warn(errors.New("the command of --on-complete is still running; it continues without seedbed"))
	}
}
