package portmap

import (
	"context"
	"errors"
	"math/rand/v2"
	"net/netip"
	"sync"
	"time"

	"seedbed/internal/addrs"
)

const (
	// lease is what we ask for. It is what most clients ask for: a router that is asked for much
	// more may refuse, and what a crash leaves behind ends soon.
	lease = time.Hour
	// maxLease limits what a router grants, so that a wrong value does not end the renewals.
	maxLease = 24 * time.Hour
	// minRenew limits how often a router can make us ask.
	minRenew = 15 * time.Second
	// pollRenew is how often PCP and NAT-PMP mappings are renewed at least. A renewal is the only question
	// that shows whether the router still has a mapping: the epoch of many routers runs on when only
	// their server restarts or their firewall is reloaded (miniupnpd with system_uptime=yes does so). It
	// costs as much as the checks. go-libp2p renews three times as often. UPnP has a question of its
	// own, and some UPnP routers write each renewal to flash memory.
	pollRenew = time.Minute
	// maxFailures is the number of failed checks in a row after which a router counts as gone. After
	// the first, the next follows in checkAgain.
	maxFailures = 3
	checkAgain  = 5 * time.Second
	// portTries limits the external ports that are tried if one is taken or differs for TCP and UDP.
	portTries = 6
)

// holding is the mapping of the port for TCP and UDP by one router.
type holding struct {
	client   client
	internal uint16
	hasten   chan struct{} // map again now; capacity 1

	mu       sync.Mutex
	tcp, udp grant
}

func (h *holding) granted(p Protocol) grant {
	h.mu.Lock()
	defer h.mu.Unlock()
	if p == TCP {
		return h.tcp
	}
	return h.udp
}

// establish maps or renews both protocols, if possible with one external port: the DHT and
// other peers name one port for both.
func (h *holding) establish(ctx context.Context) error {
	want := h.internal
	if before := h.granted(TCP); before.external.Port() != 0 {
		want = before.external.Port()
	}
	err := errConflict
	for try := range portTries {
		var tcp, udp grant
		if tcp, err = h.mapPort(ctx, TCP, want); err == nil {
			// A renewal of which only one half worked leaves that half: the other may work next time.
			if udp, err = h.mapPort(ctx, UDP, tcp.external.Port()); err != nil && tcp.external.Port() != h.granted(TCP).external.Port() {
				_ = h.client.unmapPort(ctx, TCP, tcp)
			}
		}
		switch {
		case errors.Is(err, errConflict):
			want = 10_000 + uint16(rand.IntN(50_000))
			continue
		case err != nil:
			return err
		case tcp.external.Port() != udp.external.Port() && try < portTries-1:
			_ = h.client.unmapPort(ctx, TCP, tcp)
			want = udp.external.Port()
			continue
		}
		h.mu.Lock()
		h.tcp, h.udp = tcp, udp
		h.mu.Unlock()
		return nil
	}
	return err
}

// mapPort maps one protocol and checks what the router says.
func (h *holding) mapPort(ctx context.Context, p Protocol, external uint16) (grant, error) {
	g, err := h.client.mapPort(ctx, p, h.internal, external)
	if err != nil {
		return grant{}, err
	}
	if g.internal == 0 || g.external.Port() == 0 || g.lease < 0 {
		return grant{}, errInvalid
	}
	g.lease = min(g.lease, maxLease)
	if s := addrs.ScopeOf(g.external.Addr()); s == addrs.Never || s == addrs.Loopback {
		g.external = netip.AddrPortFrom(netip.IPv4Unspecified(), g.external.Port())
	}
	return g, nil
}

// keep renews the mappings until they are lost or ctx ends. It calls changed after each renewal.
func (h *holding) keep(ctx context.Context, changed func()) {
	begun := time.Now()
	renewAt, expires := h.schedule(begun)
	checkAt := begun.Add(h.client.checkEvery())
	failures := 0
	isHastened := false
	for {
		wake := checkAt
		if renewAt.Before(wake) {
			wake = renewAt
		}
		t := time.NewTimer(time.Until(wake))
		select {
		case <-ctx.Done():
			t.Stop()
			return
		case <-h.hasten:
			t.Stop()
			isHastened, failures = true, 0
		case <-t.C:
		}
		now := time.Now()
		isDue := isHastened || !now.Before(renewAt)
		if !isDue {
			checkAt = now.Add(h.client.checkEvery())
			switch err := h.client.check(ctx, h.granted(TCP)); {
			case err == nil:
				failures = 0
			case errors.Is(err, errLost):
				isDue, isHastened, failures = true, true, 0 // map again at once
			case errors.Is(err, errGone):
				return
			default:
				if failures++; failures == maxFailures {
					return
				}
				checkAt = now.Add(checkAgain)
			}
		}
		if !isDue {
			continue
		}
		if err := h.establish(ctx); err == nil {
			renewAt, expires = h.schedule(time.Now())
			isHastened, failures = false, 0
			changed()
		} else if errors.Is(err, errGone) {
			return
		} else if isHastened {
			if failures++; failures == maxFailures {
				return
			}
			checkAt = now.Add(checkAgain)
		} else if renewAt = h.nextTry(time.Now(), expires); renewAt.After(expires) {
			return
		}
	}
}

// schedule returns when to renew and when the mappings end. RFC 6887, 11.2.1: a random time between
// 1/2 and 5/8 of the lease, so that the clients of a router do not ask all at once. It is sooner if the
// client says so.
func (h *holding) schedule(now time.Time) (renewAt, expires time.Time) {
	h.mu.Lock()
	defer h.mu.Unlock()
	d := maxLease
	for _, g := range []grant{h.tcp, h.udp} {
		if g.lease == 0 { // permanent: asked again as often, in case that the router lost it
			g.lease = lease
		}
		d = min(d, g.lease)
	}
	every := h.client.renewEvery()
	return now.Add(max(min(d/2+rand.N(d/8+1), every+rand.N(every/8+1)), minRenew)), now.Add(d)
}

// nextTry returns when to renew again after a failure: in half of the time that is left at the latest.
func (h *holding) nextTry(now, expires time.Time) time.Time {
	return now.Add(max(min(expires.Sub(now)/2, h.client.renewEvery()), minRenew))
}

// remove removes the mappings.
func (h *holding) remove(ctx context.Context) {
	for _, p := range []Protocol{TCP, UDP} {
		_ = h.client.unmapPort(ctx, p, h.granted(p)) // what remains ends with its lease
	}
}
