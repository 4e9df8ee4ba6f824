package node

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"time"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm"
	"seedbed/swarm/webseed"
)

// HTTP mirrors that a link (ws=) or a torrent file (url-list) names are peers, as long
// as something is lacking (BEP 19). Each goes by an address of its own in 100::/64,
// where no host can be (RFC 6666).

const (
	// maxWebSeeds of a torrent are asked.
	maxWebSeeds = 16
	// mirrorRetry is the wait after a mirror failed, which doubles up to
	// mirrorLongest.
	mirrorRetry   = 5 * time.Second
	mirrorLongest = 10 * time.Minute
)

// webSeeds are the mirrors of a torrent.
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

// newMirrors is the client that asks mirrors.
func newMirrors(cfg *Config) *http.Client {
	return webseed.NewClient(cfg.LocalWebSeeds, func(ip netip.Addr) bool { return !cfg.Blocklist.Contains(ip) })
}

// mirrorNet is where mirrors are called from.
var mirrorNet = netip.MustParsePrefix("100::/64")

func isMirror(ip netip.Addr) bool { return mirrorNet.Contains(ip) }

// mirrorID is what a mirror is called among peers.
func mirrorID(url string) (netip.AddrPort, id.ID) {
	sum := sha256.Sum256([]byte(url))
	ip := mirrorNet.Addr().As16()
	copy(ip[8:], sum[:8])
	peer := id.ID(sum[:id.Len])
	copy(peer[:], "-WS0000-")
	return netip.AddrPortFrom(netip.AddrFrom16(ip), 1), peer
}

// askMirrors has the web seeds asked, from when the metadata is known.
func (t *Torrent) askMirrors(s *swarm.Torrent, info *metainfo.Info) {
	if t.node.cfg.NoWebSeeds {
		return
	}
	for _, url := range t.spec.webSeeds() {
		t.wg.Go(func() { t.askMirror(s, info, url) })
	}
}

// askMirror serves the swarm from one mirror until nothing is lacking.
func (t *Torrent) askMirror(s *swarm.Torrent, info *metainfo.Info, url string) {
	addr, peer := mirrorID(url)
	wait := mirrorRetry
	for t.run.Err() == nil && !t.whole.Load() {
		ours, theirs := net.Pipe()
		ctx, cancel := context.WithCancel(t.run)
		go func() {
			select {
			case <-t.done:
				cancel()
			case <-ctx.Done():
			}
		}()
		s.Join(ours, addr, peer)
		began := time.Now()
		err := webseed.Serve(ctx, theirs, webseed.Config{URL: url, Info: info, Client: t.node.mirrors, Agent: t.node.cfg.Version, Log: t.node.log})
		cancel()
		if t.run.Err() != nil || t.whole.Load() {
			return
		}
		if _, banned := t.barred.Load(addr.Addr()); banned {
			t.node.emit(Event{Kind: Warning, Torrent: t, Err: fmt.Errorf("the web seed %s has sent wrong data and is not asked any more", url)})
			return
		}
		var bad *webseed.Error
		if errors.As(err, &bad) {
			f := &Fault{Err: err, hint: "it is tried again"}
			if bad.Final {
				f.hint = "it is not asked any more"
			}
			if wait == mirrorRetry || bad.Final {
				t.node.emit(Event{Kind: Warning, Torrent: t, Err: f})
			}
			if bad.Final {
				return
			}
			wait = max(wait, bad.Wait)
		}
		if time.Since(began) > time.Minute {
			wait = mirrorRetry
		}
		if sleep(t.run, wait) != nil {
			return
		}
		wait = min(2*wait, mirrorLongest)
	}
}
