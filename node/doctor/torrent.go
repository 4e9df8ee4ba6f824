package doctor

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/netx"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm"
	"seedbed/swarm/engine"
	"seedbed/swarm/mse"
	"seedbed/swarm/wire"
)

const (
	maxPeers   = 60               // peers to try
	dialAtOnce = 16               // parallel dials
	dialLimit  = 5 * time.Second  // for one dial
	quietLimit = 10 * time.Second // the trial ends after this time without an event
	trialLimit = 45 * time.Second // total time of the trial
)

// torrent does what a download does until it has the metadata.
func (e *examination) torrent(ctx context.Context, link *magnet.Link) {
	peers := e.lookup(ctx, link)
	if len(peers) == 0 || ctx.Err() != nil {
		return
	}
	t := newTrial(e, link)
	begun := time.Now()
	t.run(ctx, peers[:min(len(peers), maxPeers)])
	if ctx.Err() == nil {
		t.report(time.Since(begun))
	}
}

// lookup returns the peers in the link and those that the DHT knows.
func (e *examination) lookup(ctx context.Context, link *magnet.Link) (peers []engine.Candidate) {
	for _, h := range link.Peers {
		dns, cancel := context.WithTimeout(ctx, dnsLimit)
		as, err := node.ResolvePeer(dns, e.v.Host, e.v.Config.Outbound.LookupNetIP, h)
		cancel()
		if err != nil {
			e.report(Finding{Step: StepLookup, What: "x.pe", Verdict: Notice, Text: fmt.Sprintf("cannot resolve the peer %q in the link: %s", h, dnsReason(err))})
			continue
		}
		for _, a := range as {
			peers = append(peers, engine.Candidate{Addr: a, Source: engine.FromHint})
		}
	}
	if len(peers) > 0 {
		e.report(Finding{Step: StepLookup, What: "x.pe", Text: "the link contains " + count(len(peers), "peer")})
	}
	var mu sync.Mutex
	r, err := e.v.GetPeers(ctx, link.Hash(), true, func(ps []netip.AddrPort) {
		mu.Lock()
		defer mu.Unlock()
		for _, a := range ps {
			peers = append(peers, engine.Candidate{Addr: a, Source: engine.FromDHT})
		}
	})
	if err != nil {
		return nil
	}
	mu.Lock()
	defer mu.Unlock()
	f := Finding{Step: StepLookup, What: "DHT", Took: r.Took, Data: map[string]any{"asked": r.Asked, "answered": r.Answered, "peers": r.Peers,
		"first_peer_ms": r.FirstPeer.Seconds() * 1000, "seeds_estimate": r.Scrape.Seeds, "peers_estimate": r.Scrape.Peers}}
	f.Text = fmt.Sprintf("%s found; %s asked, %d answered", count(r.Peers, "peer"), count(r.Asked, "node"), r.Answered)
	if r.Peers > 0 {
		f.Text += fmt.Sprintf("; the first peer after %.0f ms", r.FirstPeer.Seconds()*1000)
	}
	if s := r.Scrape; s.Filters > 0 {
		f.Text += fmt.Sprintf("; estimated swarm: %s and %s", count(s.Seeds, "seed"), count(s.Peers, "other peer"))
	}
	peers = dialable(peers)
	switch {
	case len(peers) > 0:
	case r.Answered == 0:
		f.Verdict, f.Advice = Bad, "no DHT node answered: see the steps above"
	default:
		f.Verdict, f.Advice = Bad, "no peer is announced in the DHT at the moment: check the link, try again later, or add the address of a peer to the link (x.pe=)"
		if len(link.Trackers) > 0 {
			f.Advice = "no peer is announced in the DHT at the moment: its peers may use only the trackers in the link, which seedbed does not use"
		}
	}
	e.report(f)
	return peers
}

// dialable removes duplicates, and addresses from the DHT that the engine would not dial.
func dialable(peers []engine.Candidate) []engine.Candidate {
	seen := map[netip.AddrPort]bool{}
	return slices.DeleteFunc(peers, func(c engine.Candidate) bool {
		old := seen[c.Addr]
		seen[c.Addr] = true
		return old || c.Source == engine.FromDHT && c.Addr.Port() < engine.MinUnprovenPort && !addrs.IsLocal(c.Addr.Addr())
	})
}

// trial runs a torrent until it has its metadata, and records what happens with each peer.
type trial struct {
	e    *examination
	link *magnet.Link

	outcome chan struct{} // closed when info or broken is set
	stats   engine.Stats

	mu     sync.Mutex
	peers  map[netip.AddrPort]*peer
	last   time.Time // the time of the last event
	info   *metainfo.Info
	broken error
}

// peer records which stages one peer has passed, and why its connection failed or ended.
type peer struct {
	isConnected  bool
	isHandshaken bool
	isEncrypted  bool
	why          string // why the connection failed or ended; empty while connected
}

func newTrial(e *examination, link *magnet.Link) *trial {
	return &trial{e: e, link: link, outcome: make(chan struct{}), peers: map[netip.AddrPort]*peer{}}
}

// at calls f with the record of a peer, which it creates if necessary.
func (t *trial) at(addr netip.AddrPort, f func(*peer)) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.last = time.Now()
	p := t.peers[addr]
	if p == nil {
		p = &peer{}
		t.peers[addr] = p
	}
	f(p)
}

func (t *trial) trace() *swarm.Trace {
	return &swarm.Trace{
		Dialed: func(to netip.AddrPort, err error) {
			t.at(to, func(p *peer) {
				if err == nil {
					p.isConnected = true
				} else if !p.isConnected {
					p.why = reasonText(err)
				}
			})
		},
		Handshaken: func(addr netip.AddrPort, h swarm.Handshake, err error) {
			t.at(addr, func(p *peer) {
				switch {
				case err == nil:
					p.isHandshaken, p.isEncrypted, p.why = true, h.Encrypted, ""
					if !h.Reserved.Extended() {
						p.why = "without extensions"
					}
				case !p.isHandshaken:
					p.why = handshakeReason(err)
				}
			})
		},
		Closed: func(addr netip.AddrPort, why engine.Fault) {
			t.at(addr, func(p *peer) {
				if p.why == "" && why != engine.FaultLocal {
					p.why = closeReason(why)
				}
			})
		},
	}
}

func handshakeReason(err error) string {
	var we *wire.Error
	var me *mse.Error
	switch {
	case errors.Is(err, swarm.ErrOtherTorrent):
		return "another torrent"
	case errors.As(err, &we), errors.As(err, &me):
		return "no BitTorrent handshake"
	}
	return reasonText(err)
}

func closeReason(f engine.Fault) string {
	if f == engine.FaultReset {
		return "closed by the peer"
	}
	return f.String()
}

// dialer dials from the sockets of the visit.
type dialer struct{ host netx.Network }

// Dial implements swarm.Dialer.
func (d dialer) Dial(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, dialLimit)
	defer cancel()
	return d.host.Dial(ctx, to)
}

// run starts the torrent and waits until its metadata is known, no remaining peer could
// provide it, or trialLimit is over.
func (t *trial) run(ctx context.Context, peers []engine.Candidate) {
	shared := swarm.NewShared(swarm.SharedConfig{Workers: 1})
	defer shared.Close()
	var once sync.Once
	s := swarm.New(swarm.Config{
		Shared: shared, InfoHash: t.link.Hash(), InfoHashV2: t.link.V2, PeerID: node.NewPeerID(),
		Open: func(ctx context.Context, _ *metainfo.Info, _ func(done, total int64)) (swarm.Content, error) {
			<-ctx.Done() // the trial downloads no data
			return swarm.Content{}, ctx.Err()
		},
		Dialer: dialer{t.e.v.Host}, Relaxed: t.e.isPrivate(), Hints: true,
		OnEvent: func(e swarm.Event) {
			if e.Kind != swarm.MetadataKnown && e.Kind != swarm.Broken {
				return
			}
			t.mu.Lock()
			t.info, t.broken = e.Info, e.Err
			t.mu.Unlock()
			once.Do(func() { close(t.outcome) })
		},
		HalfOpen: dialAtOnce, MaxConns: maxPeers, Uploads: 1, Seed: rand.Uint64(), Log: t.e.v.Config.Log, Trace: t.trace(),
	})
	t.last = time.Now()
	s.AddCandidates(peers)
	t.wait(ctx, s, len(peers))
	t.stats = s.Snapshot().Stats
	_ = s.Stop(context.Background()) // nothing was written
}

func (t *trial) wait(ctx context.Context, s *swarm.Torrent, n int) {
	end := time.NewTimer(trialLimit)
	defer end.Stop()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-t.outcome:
			return
		case <-end.C:
			return
		case <-tick.C:
		}
		snap := s.Snapshot()
		t.mu.Lock()
		quiet, tried := time.Since(t.last), len(t.peers)
		t.mu.Unlock()
		if snap.Dialing == 0 && (quiet > quietLimit || tried >= n && snap.Connected == 0) {
			return
		}
	}
}

// faults formats reasons as in "12 timed out, 3 refused".
func faults(m map[string]int) string {
	keys := slices.Collect(maps.Keys(m))
	slices.SortFunc(keys, func(a, b string) int { return cmp.Or(cmp.Compare(m[b], m[a]), strings.Compare(a, b)) })
	var out []string
	for _, k := range keys {
		out = append(out, fmt.Sprintf("%d %s", m[k], k))
	}
	return strings.Join(out, ", ")
}

// tally counts the peers that passed each stage, and the reasons why the others did not.
type tally struct {
	tried, connected, handshaken, encrypted int

	dialFaults, handshakeFaults, closeFaults map[string]int
}

func (t *trial) tally() tally {
	t.mu.Lock()
	defer t.mu.Unlock()
	y := tally{dialFaults: map[string]int{}, handshakeFaults: map[string]int{}, closeFaults: map[string]int{}}
	for _, p := range t.peers {
		if !p.isConnected && p.why == "" {
			continue // its dial has not ended yet
		}
		y.tried++
		reasons := y.dialFaults
		if p.isConnected {
			y.connected++
			reasons = y.handshakeFaults
		}
		if p.isHandshaken {
			y.handshaken++
			reasons = y.closeFaults
		}
		if p.isEncrypted {
			y.encrypted++
		}
		if p.why != "" {
			reasons[p.why]++
		}
	}
	return y
}

func (t *trial) report(took time.Duration) {
	y := t.tally()
	advice := "these peers are offline or behind NATs: try again later; if every torrent fails here, a firewall blocks outgoing TCP"
	if y.dialFaults["refused"] == y.tried {
		advice = "these peers are no longer running: try again later, when there may be others"
	}
	if !t.stage(StepDial, y.connected, y.tried, "accepted a connection", y.dialFaults, advice) {
		return
	}
	did := "completed the handshake"
	if y.encrypted > 0 {
		did += fmt.Sprintf(", %d encrypted", y.encrypted)
	}
	if !t.stage(StepHandshake, y.handshaken, y.connected, did, y.handshakeFaults, "peers that close at once are full or no longer have this torrent") {
		return
	}
	t.metadata(y, took)
}

// stage reports how many peers passed a stage, and returns whether any did.
func (t *trial) stage(step Step, good, of int, did string, reasons map[string]int, advice string) bool {
	f := Finding{Step: step, Text: fmt.Sprintf("%d of %s %s", good, count(of, "peer"), did), Data: map[string]any{"ok": good, "of": of, "faults": reasons}}
	if len(reasons) > 0 {
		f.Text += "; " + faults(reasons)
	}
	if good == 0 {
		f.Verdict, f.Advice = Bad, advice
	}
	t.e.report(f)
	return good > 0
}

func (t *trial) metadata(y tally, took time.Duration) {
	t.mu.Lock()
	info, broken := t.info, t.broken
	t.mu.Unlock()
	offers := t.stats.MetaOffers
	f := Finding{Step: StepMetadata, Took: took, Data: map[string]any{"offering": offers, "faults": y.closeFaults}}
	switch {
	case info != nil:
		f.Text = fmt.Sprintf("%q: %d bytes in %s and %s; the hash is correct", info.Name, info.Length, count(len(info.Files), "file"), count(info.NumPieces(), "piece"))
		f.Data["name"], f.Data["size"], f.Data["pieces"], f.Data["files"] = info.Name, info.Length, info.NumPieces(), len(info.Files)
	case broken != nil:
		f.Verdict, f.Text = Bad, "complete, but not a valid torrent: "+broken.Error()
		f.Advice = "the torrent itself is damaged: inform its publisher"
	default:
		f.Verdict, f.Text = Bad, fmt.Sprintf("%d of %s offer it", offers, count(y.handshaken, "peer"))
		if t.stats.MetaSize > 0 {
			f.Text += fmt.Sprintf(" and sent %d of %d bytes", t.stats.MetaHave, t.stats.MetaSize)
		}
		if len(y.closeFaults) > 0 {
			f.Text += "; " + faults(y.closeFaults)
		}
		f.Advice = "these peers do not have the metadata yet, or do not send it: a download continues when it finds a peer that does"
	}
	t.e.report(f)
}
