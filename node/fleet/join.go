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
	// joinEvery is the interval at which a node tries to reach the members that are missing: those of Config.Members, and those
	// that it has lost. joinSoon is the interval while it is alone or has just lost some, which may be back before their torrents
	// move.
	joinEvery = 15 * time.Second
	joinSoon  = 2 * time.Second
	// resolveWithin is how long a name may take to resolve.
	resolveWithin = 5 * time.Second
	// maxJoins is the number of named addresses that are tried at once, and maxLost that of members that were lost.
	maxJoins = 16
	maxLost  = 4
)

// joining is how a node finds the other members. Config.Members are tried again and again, and so are members that were
// lost: after a partition of the network, the two sides find each other by these.
type joining struct {
	before map[netip.AddrPort]bool // the other members at the last join
	lost   []netip.AddrPort        // former members that are not live, at most maxMembers; the longest lost first
	next   int                     // of lost, to be tried
	named  []netip.AddrPort        // Config.Members
	err    error                   // why none of Config.Members could be reached; nil if one was
}

// keepJoining joins the other members until the node closes.
func (f *Fleet) keepJoining() {
	for {
		named := sync.OnceValue(f.resolveMembers)
		f.updateAddress(named)
		f.join(named())
		f.updateMeta()
		every := joinEvery
		if f.isAlone() && len(f.cfg.Members) > 0 || f.hasLost() {
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
	return slices.ContainsFunc(f.settling.current, func(name string) bool { _, isLive := f.members.live[name]; return !isLive })
}

// isAlone reports whether no other member is live.
func (f *Fleet) isAlone() bool { return len(f.others()) == 0 }

// others returns the addresses of the other live members.
func (f *Fleet) others() map[netip.AddrPort]bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := map[netip.AddrPort]bool{}
	for name, m := range f.members.live {
		if name != f.cfg.Name {
			list[m.addr] = true
		}
	}
	return list
}

// join tries to reach the members that are missing. named are Config.Members.
func (f *Fleet) join(named resolved) {
	f.mu.Lock()
	f.joined.named = named.list
	f.mu.Unlock()
	have := f.others()
	reached := len(f.cfg.Members) == 0
	failed := named.err
	var try []netip.AddrPort
	for _, a := range named.list {
		if reached = reached || have[a]; !have[a] && !f.isSelf(a) {
			try = append(try, a)
		}
	}
	numNamed := min(len(try), maxJoins)
	try = append(try[:numNamed], f.lostMembers(have)...)
	errs := make([]error, len(try))
	var wg sync.WaitGroup
	for i, a := range try {
		wg.Go(func() { errs[i] = f.joinAt(a) })
	}
	wg.Wait()
	for i, err := range errs {
		if i < numNamed { // others may be gone for good
			reached = reached || err == nil && !f.isAlone() // it may be this node, behind a NAT
			failed = cmp.Or(failed, err)
		}
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.joined.err = nil; !reached {
		f.joined.err = failed
	}
}

// hasMemberAt reports whether an IP address is that of a member, or was.
func (f *Fleet) hasMemberAt(ip netip.Addr) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	hasIP := func(a netip.AddrPort) bool { return a.Addr() == ip }
	for _, m := range f.members.live {
		if hasIP(m.addr) {
			return true
		}
	}
	return slices.ContainsFunc(f.joined.named, hasIP) || slices.ContainsFunc(f.joined.lost, hasIP)
}

// joinAt joins the member at an address.
func (f *Fleet) joinAt(a netip.AddrPort) error {
	_, err := f.list.Load().Join([]string{a.String()})
	var many interface{ WrappedErrors() []error } // whose text has several lines
	if errors.As(err, &many) && len(many.WrappedErrors()) > 0 {
		err = many.WrappedErrors()[0]
	}
	if err != nil {
		return joinError(a, err)
	}
	return nil
}

// lostMembers returns some of the addresses of members that were lost, in turn. have has the other members now.
func (f *Fleet) lostMembers(have map[netip.AddrPort]bool) (list []netip.AddrPort) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.joined.lostMembers(have)
}

func (j *joining) lostMembers(have map[netip.AddrPort]bool) (list []netip.AddrPort) {
	for a := range j.before {
		if !have[a] && !slices.Contains(j.lost, a) {
			j.lost = append(j.lost, a)
		}
	}
	j.before = have
	j.lost = slices.DeleteFunc(j.lost, func(a netip.AddrPort) bool { return have[a] })
	j.lost = j.lost[max(0, len(j.lost)-maxMembers):]
	for range min(len(j.lost), maxLost) {
		list = append(list, j.lost[j.next%len(j.lost)])
		j.next++
	}
	return list
}

// resolved has the addresses of Config.Members.
type resolved struct {
	list []netip.AddrPort
	err  error // of the first that cannot be resolved, or nil
}

// resolveMembers resolves Config.Members.
func (f *Fleet) resolveMembers() (r resolved) {
	lists, errs := make([][]netip.AddrPort, len(f.cfg.Members)), make([]error, len(f.cfg.Members))
	var wg sync.WaitGroup
	for i, name := range f.cfg.Members {
		wg.Go(func() { lists[i], errs[i] = f.resolve(name) })
	}
	wg.Wait()
	return resolved{slices.Concat(lists...), cmp.Or(errs...)}
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
