package node

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strconv"
	"time"

	"seedbed/swarm"
	"seedbed/swarm/engine"
)

// onSwarm hears of what happens in the swarm. It is called by the swarm's loop
// and waits for nothing but the torrent's own start.
func (t *Torrent) onSwarm(e swarm.Event) {
	<-t.started
	switch e.Kind {
	case swarm.MetadataKnown:
		t.learn(e.Info)
	case swarm.WantPeers:
		select {
		case t.want <- struct{}{}:
		default:
		}
	case swarm.KnownPeer:
		t.known.add(e.Addr, time.Now())
	case swarm.Ban:
		t.known.remove(e.Addr)
		t.node.log.Info("a peer sent bad data and is banned", "torrent", t.Name(), "peer", e.Addr)
	case swarm.DHTNode:
		if t.node.dht != nil && !t.private() {
			t.node.dht.AddNode(e.Addr)
		}
	case swarm.External:
		if t.node.dht != nil {
			t.node.dht.YourIP(e.From.Addr(), e.Addr.Addr())
		}
	case swarm.FirstPiece:
		t.node.emit(Event{Kind: FirstPiece, Torrent: t})
	case swarm.Complete:
		t.node.emit(Event{Kind: Complete, Torrent: t})
		t.doneOnce.Do(func() { close(t.done) })
		t.node.emit(Event{Kind: Seeding, Torrent: t, Addr: t.node.Addrs()[0].String()})
	case swarm.Paused:
		t.node.emit(Event{Kind: Warning, Torrent: t, Err: asFault(e.Err)})
	case swarm.Resumed:
		t.node.emit(Event{Kind: Recovered, Torrent: t})
	}
}

// manage feeds the swarm with candidates until the torrent stops.
func (t *Torrent) manage() {
	var last []engine.Candidate
	for _, a := range t.known.addrs() {
		last = append(last, engine.Candidate{Addr: a, Source: engine.FromLastRun})
	}
	t.swarm.AddCandidates(last)
	t.wg.Go(t.addHints)
	if t.node.dht == nil {
		<-t.ctx.Done()
		return
	}
	t.keepLooking()
}

// keepLooking asks the DHT for peers, and announces us to it, at the pace that
// the swarm's need sets.
func (t *Torrent) keepLooking() {
	var p pace
	type found struct{ peers, fresh int }
	results := make(chan found, 1)
	ready := t.node.dht.Ready()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for {
		select {
		case <-t.ctx.Done():
			if t.looking.Load() {
				<-results
			}
			return
		case <-t.want:
			p.lacking(t.node.now())
		case <-ready:
			ready = nil
			p.joined(t.node.now())
		case f := <-results:
			t.looking.Store(false)
			p.done(t.node.now(), f.peers, f.fresh)
		case <-timer.C:
			if t.looking.Load() || t.private() || t.node.now() < p.next {
				break
			}
			p.began = t.node.now()
			t.looking.Store(true)
			t.wg.Go(func() {
				peers, fresh := t.askDHT()
				results <- found{peers, fresh}
			})
		}
		t.nextAsk.Store(int64(p.next))
		if !t.looking.Load() && !t.private() {
			timer.Reset(max(p.next.Sub(t.node.now()), 0))
		}
	}
}

// askDHT runs one lookup that also announces us. Peers go to the swarm as they
// are found; the counts are of distinct addresses and of those new to the swarm.
func (t *Torrent) askDHT() (peers, fresh int) {
	stats, err := t.node.dht.Announce(t.ctx, t.InfoHash(), t.node.host.Port(), func(found []netip.AddrPort) {
		cs := make([]engine.Candidate, len(found))
		for i, a := range found {
			cs[i] = engine.Candidate{Addr: a, Source: engine.FromDHT}
			if known, _ := t.seen.ContainsOrAdd(a, struct{}{}); !known {
				fresh++
			}
		}
		t.swarm.AddCandidates(cs)
	})
	if stats.Accepted > 0 {
		t.annOnce.Do(func() { close(t.announced) })
	}
	if err != nil && t.ctx.Err() == nil {
		t.node.log.Debug("a DHT lookup failed", "torrent", t.Name(), "err", err)
	}
	t.node.log.Debug("DHT lookup done", "torrent", t.Name(), "peers", stats.Peers, "asked", stats.Asked, "announced to", stats.Accepted)
	return stats.Peers, fresh
}

// addHints hands the swarm the addresses that the link and the user gave,
// names among them as they resolve.
func (t *Torrent) addHints() {
	hints := t.spec.Peers
	if t.spec.Link != nil {
		hints = append(hints[:len(hints):len(hints)], t.spec.Link.Peers...)
	}
	var numeric []engine.Candidate
	for _, h := range hints {
		if a, err := netip.ParseAddrPort(h); err == nil && a.Port() != 0 {
			numeric = append(numeric, engine.Candidate{Addr: a, Source: engine.FromHint})
			continue
		}
		t.wg.Go(func() {
			cs, err := resolvePeer(t.ctx, h)
			if err != nil && t.ctx.Err() == nil {
				t.node.emit(Event{Kind: Warning, Torrent: t,
					Err: &Fault{Err: fmt.Errorf("the peer address %q is passed over: %w", h, err), hint: "give HOST:PORT"}})
			}
			t.swarm.AddCandidates(cs)
		})
	}
	t.swarm.AddCandidates(numeric)
}

func resolvePeer(ctx context.Context, hostPort string) ([]engine.Candidate, error) {
	host, port, err := net.SplitHostPort(hostPort)
	if err != nil {
		return nil, errors.New("it is not of the form HOST:PORT")
	}
	num, err := strconv.ParseUint(port, 10, 16)
	if err != nil || num == 0 {
		return nil, fmt.Errorf("%q is no port", port)
	}
	addrs, err := net.DefaultResolver.LookupNetIP(ctx, "ip", host)
	if err != nil {
		return nil, err
	}
	var out []engine.Candidate
	for _, a := range addrs {
		out = append(out, engine.Candidate{Addr: netip.AddrPortFrom(a.Unmap(), uint16(num)), Source: engine.FromHint})
	}
	return out, nil
}
