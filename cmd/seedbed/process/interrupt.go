package process

import (
	"context"
	"os"
	"os/signal"
	"sync"
	"syscall"
	"time"
)

// Interrupts are the signals that end the command: at the first SIGINT or SIGTERM it saves
// and ends, at the second the process ends at once.
type Interrupts struct {
	once    sync.Once
	cleared chan struct{}
}

// WatchInterrupts returns a context that ends at the first signal.
func WatchInterrupts() (context.Context, *Interrupts) {
	ctx, cancel := context.WithCancel(context.Background())
	i := &Interrupts{cleared: make(chan struct{})}
	signals := make(chan os.Signal, 2) // both may come before the first is handled
	signal.Notify(signals, os.Interrupt, syscall.SIGTERM)
	go func() {
		<-signals
		cancel()
		second := <-signals
		select {
		case <-i.cleared:
		case <-time.After(clearing):
		}
		die(second)
	}()
	return ctx, i
}

// clearing is how long a second signal waits for a terminal that takes no output.
const clearing = time.Second

// Cleared says that the first signal has removed the progress from the terminal, so that the
// second can end the process. i may be nil.
func (i *Interrupts) Cleared() {
	if i != nil {
		i.once.Do(func() { close(i.cleared) })
	}
}

// die ends the process as sig does by default.
func die(sig os.Signal) {
	signal.Reset(sig)
	if p, err := os.FindProcess(os.Getpid()); err == nil && p.Signal(sig) == nil {
		time.Sleep(clearing) // the signal is on its way
	}
	os.Exit(1) // the system cannot send it
}
