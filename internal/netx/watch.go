package netx

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"time"
)

const (
	// settleTime is how long the watcher waits after the system has reported a change, because
	// changes come in groups.
	settleTime = 500 * time.Millisecond
	// wakeAfter is how much later than planned the watcher must run to count as suspended. It is
	// longer than what a busy machine delays a goroutine.
	wakeAfter = 15 * time.Second
)

// probes are addresses on the internet, to which the system looks up routes. Nothing is sent to
// them.
var probes = [2]netip.AddrPort{netip.MustParseAddrPort("198.41.0.4:9"), netip.MustParseAddrPort("[2001:503:ba3e::2:30]:9")}

// Paths returns the current paths of this machine, over the interface of o if it has one.
func (o Outbound) Paths() (Paths, error) {
	all, err := net.Interfaces()
	if err != nil {
		return Paths{}, err
	}
	var locals []Local
	carriers := map[string]bool{}
	for _, i := range all {
		if o.Interface != "" && i.Name != o.Interface {
			continue
		}
		carriers[i.Name] = i.Flags&(net.FlagUp|net.FlagRunning) == net.FlagUp|net.FlagRunning
		for _, p := range interfacePrefixes(&i) {
			locals = append(locals, Local{p, i.Name})
		}
	}
	var sources [2]netip.Addr
	for f, to := range probes {
		sources[f] = o.SourceOf(to)
	}
	return newPaths(sources, locals, func(iface string) bool { return carriers[iface] }), nil
}

// Watch calls changed with each change of the paths of this machine, and after each
// suspension, until ctx ends. The system reports changes on Linux; elsewhere they are found
// within checkEvery. logger may be nil.
func (o Outbound) Watch(ctx context.Context, logger *slog.Logger, changed func(Change)) {
	if logger == nil {
		logger = slog.New(slog.DiscardHandler)
	}
	watch(ctx, watchLinks(ctx.Done()), time.Now, func() (Paths, bool) {
		p, err := o.Paths()
		if err != nil {
			logger.Debug("cannot read the network interfaces", "err", err)
		}
		return p, err == nil
	}, changed)
}

// watch is Watch with the parts that a test replaces.
func watch(ctx context.Context, reported <-chan struct{}, now func() time.Time, read func() (Paths, bool), changed func(Change)) {
	w := watcher{at: now()}
	if p, ok := read(); ok {
		w.begin(p)
	}
	tick := time.NewTicker(checkEvery)
	defer tick.Stop()
	var settled <-chan time.Time
	for {
		select {
		case <-ctx.Done():
			return
		case <-reported:
			if settled == nil {
				settled = time.After(settleTime)
			}
			continue
		case <-settled:
			settled = nil
		case <-tick.C:
		}
		p, ok := read()
		if !ok {
			p = w.paths
		}
		if c, ok := w.check(p, now()); ok {
			changed(c)
		}
	}
}

// watcher decides what has changed.
type watcher struct {
	at    time.Time    // of the last check
	paths Paths        // at that time
	last  [2]Local     // the last path of each family to the internet
	ended [2]time.Time // since when a family has no path; zero if it has one or never had
}

func (w *watcher) begin(p Paths) {
	w.paths, w.last = p, p.Internet
}

// check compares p with the paths of the last check. It reports whether they differ, or whether
// the machine was suspended in between.
func (w *watcher) check(p Paths, at time.Time) (c Change, hasChanged bool) {
	// The monotonic clock stops while the machine is suspended, the wall clock does not.
	if gap := at.Round(0).Sub(w.at.Round(0)); gap > checkEvery+wakeAfter {
		c.Slept = gap
	}
	hasChanged = c.Slept > 0 || !p.Equal(&w.paths)
	c.Before, c.After = w.paths, p
	c.Before.Internet = w.last
	for f := range p.Internet {
		isOn := p.Internet[f] != Local{}
		switch {
		case !w.ended[f].IsZero():
			c.Interrupted[f] = max(at.Sub(w.ended[f]), 1)
			if isOn {
				w.ended[f] = time.Time{}
			}
		case !isOn && w.last[f] != Local{}:
			w.ended[f] = at
		}
		if isOn {
			w.last[f] = p.Internet[f]
		}
	}
	w.at, w.paths = at, p
	return c, hasChanged
}
