package portmap

import (
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"seedbed/internal/portmap/pcp"
)

// maxAnnounceDelay limits the random delay between the announcement of a router and our request, so that
// not all hosts of a network ask at once (RFC 6886, 3.7).
const maxAnnounceDelay = 5 * time.Second

// followAnnouncements maps the port again after the router has announced that it has started, until the
// worker is cancelled. Polls notice a start as well, but later. Routers repeat the announcement (RFC
// 6886, 3.2.1), and anyone on the local network can forge it, so it makes us ask at most every minRenew.
func (w *worker) followAnnouncements() {
	conn, err := w.m.cfg.system.listenAnnouncements(w.iface, w.gateway.Is6())
	if err != nil {
		w.m.log.Debug("cannot receive what routers announce", "interface", w.iface, "err", err)
		return
	}
	announced := make(chan struct{}, 1)
	var reading sync.WaitGroup
	defer reading.Wait()
	defer conn.Close()
	reading.Go(func() { w.readAnnouncements(conn, announced) })
	for {
		select {
		case <-w.ctx.Done():
			return
		case <-announced:
		}
		if !w.sleep(rand.N(maxAnnounceDelay)) {
			return
		}
		w.m.mu.Lock()
		w.hurry()
		w.m.mu.Unlock()
		if !w.sleep(minRenew) {
			return
		}
	}
}

// readAnnouncements signals announced for each announcement of our router, until conn is closed.
func (w *worker) readAnnouncements(conn net.PacketConn, announced chan struct{}) {
	buf := make([]byte, pcp.MaxLen+1)
	for {
		n, from, err := conn.ReadFrom(buf)
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil: // the interface is down, or the machine lacks some resource
			if !w.sleep(watchEvery) {
				return
			}
			continue
		}
		if a, ok := from.(*net.UDPAddr); ok && a.AddrPort().Addr().Unmap() == w.gateway && pcp.IsAnnouncement(buf[:n]) {
			signal(announced)
		}
	}
}

// sleep waits for d. It returns false if the worker is cancelled before.
func (w *worker) sleep(d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.ctx.Done():
		return false
	case <-t.C:
		return true
	}
}
