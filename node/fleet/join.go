package fleet

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"sync"
	"time"
)

const (
	// joinEvery is the interval at which a node tries to reach the members that are named or were known and are none now, and
	// joinSoon the interval while it is alone or has just lost some: they may be back before their torrents move.
	joinEvery = 15 * time.Second
	joinSoon  = 2 * time.Second
	// resolveWithin is how long a name may take to resolve.
	resolveWithin = 5 * time.Second
	// maxJoins is the number of named addresses that are tried at once, and maxLost that of members that were lost.
	maxJoins = 16
	maxLost  = 4
	// maxRemembered is the number of addresses of members that are remembered.
	maxRemembered = 64
)

// joining is how a node finds the other members. Config.Members are tried again and again, and so are members that were
// lost: after a partition of the network, the two sides find each other by these.
type joining struct {
	next int // of the lost members, to be tried
	lost []netip.AddrPort
	err  error // why none of Config.Members could be reached; nil if one was
}

// keepJoining joins the other members until the node closes.
func (f *Fleet) keepJoining() {
	for {
		f.join()
		f.updateMeta()
		every := joinEvery
		if f.list.NumMembers() < 2 && len(f.cfg.Members) > 0 || f.hasLost() {
			every = joinSoon
		}
		timer := time.NewTimer(every)
		select {
		case <-timer.C:
		case <-f.joinNow:
		case <-f.ctx.Done():
			timer.Stop()
			return
		}
		timer.Stop()
	}
}

// hasLost reports whether a member that owns torrents is lost.
func (f *Fleet) hasLost() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.settling.current, func(name string) bool { return f.live[name] == nil })
}

// join tries to reach the members that are missing.
func (f *Fleet) join() {
	have := map[netip.AddrPort]bool{}
	for _, m := range f.list.Members() {
		ip, _ := netip.AddrFromSlice(m.Addr)
		have[netip.AddrPortFrom(ip.Unmap(), m.Port)] = true
	}
	reached := len(f.cfg.Members) == 0
	var failed error
	note := func(err error) { failed = cmp.Or(failed, err) }
	var try []netip.AddrPort
	for _, name := range f.cfg.Members {
		list, err := f.resolve(name)
		note(err)
		for _, a := range list {
			if reached = reached || have[a]; !have[a] {
				try = append(try, a)
			}
		}
	}
	named := min(len(try), maxJoins)
	try = append(try[:named], f.lostMembers(have)...)
	errs := make([]error, len(try))
	var wg sync.WaitGroup
	for i, a := range try {
		wg.Go(func() { errs[i] = f.joinAt(a) })
	}
	wg.Wait()
	for i, err := range errs {
		if i < named { // others may be gone for good
			reached = reached || err == nil
			note(err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.joined.err = nil; !reached {
		f.joined.err = failed
	}
}

// joinAt joins the member at an address.
func (f *Fleet) joinAt(a netip.AddrPort) error {
	_, err := f.list.Join([]string{a.String()})
	var many interface{ WrappedErrors() []error } // whose text has several lines
	if errors.As(err, &many) && len(many.WrappedErrors()) > 0 {
		return many.WrappedErrors()[0]
	}
	return err
}

// lostMembers returns some of the members that were known once, and remembers those that are known now.
func (f *Fleet) lostMembers(have map[netip.AddrPort]bool) (list []netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	j := &f.joined
	for a := range have {
		if !slices.Contains(j.lost, a) {
			j.lost = append(j.lost, a)
		}
	}
	j.lost = j.lost[max(0, len(j.lost)-maxRemembered):]
	for range min(len(j.lost), maxLost) {
		if a := j.lost[j.next%len(j.lost)]; !have[a] {
			list = append(list, a)
		}
		j.next++
	}
	return list
}

// resolve returns the addresses of HOST:PORT.
func (f *Fleet) resolve(hostPort string) ([]netip.AddrPort, error) {
	host, service, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, err
	}
	port, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, err
	}
	ips := []netip.Addr{}
	if ip, err := netip.ParseAddr(host); err == nil {
		ips = append(ips, ip)
	} else {
		ctx, cancel := context.WithTimeout(f.ctx, resolveWithin)
		defer cancel()
		if ips, err = f.cfg.Node.Outbound().LookupNetIP(ctx, host); err != nil {
			return nil, err
		}
	}
	list := make([]netip.AddrPort, len(ips))
	for i, ip := range ips {
		list[i] = netip.AddrPortFrom(ip.Unmap(), uint16(port))
	}
	return list, nil
}
