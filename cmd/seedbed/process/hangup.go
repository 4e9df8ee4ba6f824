package process

import (
	"os"
	"os/signal"
	"sync"
	"syscall"
)

// Hangups decides what SIGHUP does. With a terminal, SIGHUP means that the terminal was
// closed, and the command ends as at SIGTERM. Without one the process is a service: a
// command that can reload its settings does so, and other commands end.
type Hangups struct {
	end func() // ends the command

	mu     sync.Mutex
	reload func() // nil if the command has nothing to reload
}

// WatchHangups starts to handle SIGHUP, unless it is ignored, as under nohup. end ends the
// command.
func WatchHangups(end func()) *Hangups {
	h := &Hangups{end: end}
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

func (h *Hangups) received(hasTerminal bool) {
	h.mu.Lock()
	reload := h.reload
	h.mu.Unlock()
	if hasTerminal || reload == nil {
		h.end()
		return
	}
	reload()
}

// OnReload sets the function that SIGHUP calls in a process without a terminal. undo
// removes it. h may be nil, as in tests that run the command in their own process.
func (h *Hangups) OnReload(f func()) (undo func()) {
	if h == nil {
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
