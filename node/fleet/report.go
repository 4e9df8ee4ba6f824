package fleet

import (
	"net/netip"
	"slices"
	"time"
)

// meter makes the reports of this node.
type meter struct {
	seq  int64
	last report // the one that was sent last
	at   time.Time
	meta string // that memberlist got last
}

// rate returns the bytes a second between two counts.
func rate(before, now int64, d time.Duration) int64 {
	if d <= 0 || now < before {
		return 0
	}
	return int64(float64(now-before) / d.Seconds())
}

// measure returns the numbers of this node now. The rate is that since the last report was sent.
func (f *Fleet) measure() report {
	n := f.cfg.Node
	c, a, s := n.Counters(), n.Announcing(), n.StoreTotals()
	r := report{Name: f.cfg.Name, Start: f.epoch.UnixMilli(), Numbers: Numbers{
		Version: f.cfg.Version, Torrents: int64(a.Keyed), Owned: int64(a.Owned), Announced: int64(a.Torrents),
		Connected: c.Peers.V4.Incoming + c.Peers.V4.Outgoing + c.Peers.V6.Incoming + c.Peers.V6.Outgoing,
		Uploaded:  c.Uploaded, Hits: s.Hits, Misses: s.Misses, Requests: s.Requests, Fetched: s.Read, Cached: s.Cached}}
	if !isText(r.Version) || len(r.Version) > maxText {
		r.Version = ""
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Seq, r.UpRate = f.own.seq, f.own.last.UpRate
	return r
}

// sendReport sends the numbers of this node to all other members.
func (f *Fleet) sendReport() {
	r := f.measure()
	f.mu.Lock()
	m := &f.own
	if !m.at.IsZero() {
		r.UpRate = rate(m.last.Uploaded, r.Uploaded, time.Since(m.at))
	}
	m.seq++
	r.Seq, m.last, m.at = m.seq, r, time.Now()
	to := f.nodes(func(name string) bool { return name != f.cfg.Name })
	f.mu.Unlock()
	f.send(to, r.encode())
}

// takeReport takes the report of a member.
func (f *Fleet) takeReport(r *report) {
	f.mu.Lock()
	defer f.mu.Unlock()
	m := &f.members
	if _, isLive := m.live[r.Name]; !isLive || r.Name == f.cfg.Name {
		return
	}
	if before, ok := m.reports[r.Name]; !ok || r.isNewer(&before.report) {
		m.reports[r.Name] = received{*r, f.now()}
	}
}

// meta returns what this node says of itself.
func (f *Fleet) meta() meta {
	_, noDHT := f.cfg.Node.DHT()
	m := meta{Store: f.store, Addrs: f.cfg.Node.PeerAddrs(), Announces: noDHT == nil && (f.cfg.IsLoaded == nil || f.cfg.IsLoaded())}
	ip := f.address().Addr()
	for _, a := range f.cfg.Node.Addrs() {
		if local := netip.AddrPortFrom(ip, a.Port()); a.Addr().Is4() == ip.Is4() && !slices.Contains(m.Addrs, local) {
			m.Addrs = append(m.Addrs, local)
		}
	}
	return m
}

// hasNewMeta reports whether what this node says of itself has changed since memberlist got it.
func (f *Fleet) hasNewMeta() bool {
	m := f.meta()
	text := string(m.encode())
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.own.meta != text
}

// updateMeta tells the other members when what this node says of itself has changed.
func (f *Fleet) updateMeta() {
	if !f.hasNewMeta() {
		return
	}
	if err := f.list.Load().UpdateNode(resolveWithin); err != nil {
		f.log.Debug("fleet: the others were not told of a change", "err", err)
	}
}
