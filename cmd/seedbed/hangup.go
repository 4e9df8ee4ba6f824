package main

import (
	"os"
	"os/signal"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
	"seedbed/node"
)

// hangups decides what SIGHUP does. With a terminal, SIGHUP means that the terminal was
// closed, and the command ends as at SIGTERM. Without one the process is a service: a
// command that can reload its settings does so, and other commands end.
type hangups struct {
	end func() // ends the command

	mu     sync.Mutex
	reload func() // nil if the command has nothing to reload
}

// watchHangups starts to handle SIGHUP, unless it is ignored, as under nohup.
func watchHangups(end func()) *hangups {
	h := &hangups{end: end}
	if signal.Ignored(syscall.SIGHUP) {
		return h
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	hasTerminal := hasTerminal()
	go func() {
		for range signals {
			h.received(hasTerminal)
		}
	}()
	return h
}

func (h *hangups) received(hasTerminal bool) {
	h.mu.Lock()
	reload := h.reload
	h.mu.Unlock()
	if hasTerminal || reload == nil {
		h.end()
		return
	}
	reload()
}

// onReload sets what SIGHUP does in a process without a terminal. undo restores the previous
// action.
func (h *hangups) onReload(f func()) (undo func()) {
	if h == nil { // in tests that run the command in their own process
		return func() {}
	}
	set := func(f func()) {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.reload = f
	}
	set(f)
	return func() { set(nil) }
}

// hasTerminal reports whether the process has a controlling terminal.
func hasTerminal() bool {
	f, err := os.OpenFile("/dev/tty", os.O_RDWR, 0)
	if err != nil {
		return false
	}
	f.Close()
	return true
}

// reloads lists the commands that run as services: SIGHUP makes them reload their settings
// and blocklists.
var reloads = map[string]bool{"seed": true, "follow": true, "publish": true}

// reloadOnHangup makes SIGHUP reload the settings of n if the command is a service.
func (a *app) reloadOnHangup(n *node.Node) (undo func()) {
	if a.command == nil || !reloads[a.command.Name()] {
		return func() {}
	}
	return a.hangups.onReload(func() {
		manager := notifySocket()
		manager.say("RELOADING=1")
		err := a.reload(n, a.command)
		manager.say("READY=1")
		if err != nil {
			report.Fprintf(a.output().Stderr(), "seedbed: the settings stay as they were: %s\n", report.Sentence(err))
			return
		}
		if !a.quiet {
			report.Fprintf(a.output().Stderr(), "seedbed: settings and block lists were read again\n")
		}
	})
}

// reload reads the settings file, the environment and the blocklists again and applies them
// to n.
func (a *app) reload(n *node.Node, cmd *cobra.Command) error {
	file, err := settings.ReadFile(a.configFile(), fileFlags(cmd.Root()), a.config != "")
	if err != nil {
		return err
	}
	changed, err := node.ChangedSettings(n.StateDir())
	if err != nil {
		return err
	}
	fresh := settings.Sources{File: file, Changed: changed}
	s, err := fresh.Reread(cmd.Flags(), cmd.Name())
	if err != nil {
		return err
	}
	return n.Apply(s)
}
