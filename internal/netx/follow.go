package netx

import (
	"log/slog"
	"net"
	"sync"
	"time"
)

// follower keeps sockets on an interface: it opens them when the interface appears, and closes them when it
// disappears.
type follower struct {
	name    string // of the interface
	done    <-chan struct{}
	lock    sync.Locker  // held while the sockets change
	occupy  func() error // opens the sockets on the interface, in place of those of an earlier index
	vacate  func()       // closes the sockets until the next occupy
	changed func(error)  // may be nil
	log     *slog.Logger

	index int    // of the interface that the sockets are bound to; 0: none
	last  string // the text of the last error that was reported
}

// checkEvery is the longest time until a change is noticed of which the system did not tell us.
const checkEvery = 5 * time.Second

func (f *follower) run() {
	w := watchLinks(f.done)
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	for {
		select {
		case <-w:
		case <-tick.C:
		case <-f.done:
			return
		}
		if err := f.check(); err != nil {
			f.log.Debug("the sockets are not bound", "interface", f.name, "err", err)
		}
	}
}

// check compares the interface with the sockets and makes them fit. It reports a change.
func (f *follower) check() error {
	f.lock.Lock()
	defer f.lock.Unlock()
	select {
	case <-f.done:
		return nil
	default:
	}
	index := 0
	i, err := net.InterfaceByName(f.name)
	if err == nil {
		index = i.Index
		if index != f.index {
			err = f.occupy()
		}
		if err == nil && i.Flags&net.FlagUp == 0 {
			f.index = index
			return f.report(downInterface(i.Name))
		}
	} else {
		err = missingInterface(f.name)
		f.vacate()
	}
	if err != nil {
		index = 0
	}
	f.index = index
	return f.report(err)
}

// report calls changed if err is not what was reported last.
func (f *follower) report(err error) error {
	text := ""
	if err != nil {
		text = err.Error()
	}
	if text != f.last {
		f.last = text
		if f.changed != nil {
			f.changed(err)
		}
	}
	return err
}
