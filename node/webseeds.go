package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/webseed"
)

// The HTTP mirrors in a link (ws=) or a torrent file (url-list) act as peers while data is
// missing (BEP 19). Each has its own address in 100::/64, which no host can have (RFC
// 6666).

const (
	// maxWebSeeds is the maximum number of web seeds of a torrent.
	maxWebSeeds = 16
	// mirrorRetry is the wait after the first failure of a mirror. It doubles with each
	// failure, up to mirrorLongest.
	mirrorRetry   = 5 * time.Second
	mirrorLongest = 10 * time.Minute
	// maxMirrorWarnings is the maximum number of warnings about a mirror.
	maxMirrorWarnings = 5
)

// webSeeds returns the URLs of a torrent's mirrors.
func (s *Spec) webSeeds() (urls []string) {
	if s.Link != nil {
		urls = append(urls, s.Link.WebSeeds...)
	}
	if s.Torrent != nil {
		urls = append(urls, s.Torrent.WebSeeds...)
	}
	urls = slices.DeleteFunc(urls, func(u string) bool { return webseed.CheckURL(u) != nil })
	slices.Sort(urls)
	urls = slices.Compact(urls)
	return urls[:min(len(urls), maxWebSeeds)]
}

// mirrorNet is the network of the addresses that stand for mirrors.
var mirrorNet = netip.MustParsePrefix("100::/64")

func isMirror(ip netip.Addr) bool { return mirrorNet.Contains(ip) }

// mirrorID returns the address and peer id of a mirror. A mirror that has sent wrong data
// is banned by its address. It is used again, without the bad file, under the address of
// the next generation.
func mirrorID(url string, generation int) (netip.AddrPort, id.ID) {
	sum := sha256.Sum256(fmt.Appendf(nil, "%d %s", generation, url))
	ip := mirrorNet.Addr().As16()
	copy(ip[8:], sum[:8])
	peer := id.ID(sum[:id.Len])
	copy(peer[:], "-WS0000-")
	return netip.AddrPortFrom(netip.AddrFrom16(ip), 1), peer
}

// useMirrors starts to download from the web seeds.
func (r *run) useMirrors(info *metainfo.Info) {
	if r.t.node.cfg.NoWebSeeds {
		return
	}
	for _, url := range r.spec.webSeeds() {
		r.wg.Go(func() { r.useMirror(info, url) })
	}
}

// useMirror serves the swarm from one mirror until nothing is missing.
func (r *run) useMirror(info *metainfo.Info, url string) {
	m := webseed.New(webseed.Config{URL: url, Info: info, Client: r.t.node.mirrors, Agent: r.t.node.cfg.Version})
	wait, generation, warned := mirrorRetry, 0, 0
	warn := func(err error, hint string) {
		if warned++; warned <= maxMirrorWarnings {
			r.t.emit(Event{Kind: Warning, Err: &Fault{Err: err, hint: hint}})
		}
	}
	for r.ctx.Err() == nil && !r.t.complete.Load() {
		if rest := m.PausedFor(time.Now()); rest > 0 {
			if await.Sleep(r.ctx, rest) != nil {
				return
			}
			continue
		}
		addr, peer := mirrorID(url, generation)
		began := time.Now()
		err := r.serveMirror(m, addr, peer)
		if r.ctx.Err() != nil || r.t.complete.Load() {
			return
		}
		_, banned := r.barred.LoadAndDelete(addr.Addr())
		var bad *webseed.Error
		switch {
		case errors.As(err, &bad) && bad.File >= 0:
			hint := "other files are still downloaded from it; this one is tried again in an hour"
			if m.PausedFor(time.Now()) > 0 {
				hint = "it is used again later"
			}
			warn(err, hint)
			generation++ // the ban for wrong data may not have arrived yet
			wait = mirrorRetry
			continue
		case banned:
			warn(fmt.Errorf("the web seed %s has sent wrong data", url), "it is used again later")
			generation++
		case bad != nil && bad.Final:
			warn(err, "it is no longer used")
			return
		case bad != nil:
			if wait == mirrorRetry {
				warn(err, "seedbed tries again")
			}
			wait = max(wait, bad.Wait)
		}
		if time.Since(began) > time.Minute {
			wait = mirrorRetry
		}
		asked := time.Duration(0) // to wait, which is so in another network too
		if bad != nil {
			asked = bad.Wait
		}
		hasChanged, err := r.t.node.paths.sleep(r.ctx, asked, wait)
		if err != nil {
			return
		}
		if wait = min(2*wait, mirrorLongest); hasChanged {
			wait = mirrorRetry
		}
	}
}

// serveMirror connects the mirror to the swarm as the peer at addr until it fails or
// nothing is missing.
func (r *run) serveMirror(m *webseed.Mirror, addr netip.AddrPort, peer id.ID) error {
	ours, theirs := net.Pipe()
	ctx, cancel := context.WithCancel(r.ctx)
	defer cancel()
	go func() {
		select {
		case <-r.complete:
			cancel()
		case <-ctx.Done():
		}
	}()
	r.swarm.Join(ours, addr, peer)
	return m.Serve(ctx, theirs)
}
