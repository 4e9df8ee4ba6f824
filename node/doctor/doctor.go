// Package doctor finds out why a node does not work.
//
// Examine checks everything that a node needs, step by step: the interface or the proxy if there is one,
// sockets and routes, multicast, saved nodes, bootstrap hosts, the external address, NAT, port mapping,
// reachability, uTP, hole punching, node id and routing table. With a magnet link it continues
// with lookup, dial, handshake and metadata. For these it runs a torrent of package swarm and
// traces its connections. ExamineStore checks an object store. Each result is a Finding, which is reported as soon as it is known.
// The package writes nothing to disk.
package doctor

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/dht/table"
	"seedbed/internal/addrs"
	"seedbed/internal/netx"
	"seedbed/magnet"
	"seedbed/node/visit"
)

// Verdict rates a finding.
type Verdict uint8

const (
	Fine   Verdict = iota // OK
	Notice                // a warning: it works, but not well, or the check was not possible
	Bad                   // does not work
)

// String returns the name of the verdict, as it is written in JSON.
func (v Verdict) String() string { return [...]string{"fine", "notice", "bad"}[v] }

// Step is the subject of a finding. The constants are in the order of the checks.
type Step string

const (
	StepStore     Step = "object store"
	StepInterface Step = "interface"
	StepProxy     Step = "proxy"
	StepSockets   Step = "sockets"
	StepLocal     Step = "local network"
	StepState     Step = "state"
	StepBootstrap Step = "bootstrap"
	StepExternal  Step = "external address"
	StepNAT       Step = "nat"
	StepMapping   Step = "port mapping"
	StepReachable Step = "reachability"
	StepUTP       Step = "utp"
	StepPunch     Step = "hole punching"
	StepID        Step = "node id"
	StepTable     Step = "table"
	StepLookup    Step = "lookup"
	StepDial      Step = "dial"
	StepHandshake Step = "handshake"
	StepMetadata  Step = "metadata"
)

// Finding is one result.
type Finding struct {
	Step    Step
	What    string // the host, family or stage; may be empty
	Verdict Verdict
	Text    string
	Advice  string         // one sentence; empty if nothing can be done
	Took    time.Duration  // 0 if not applicable
	Data    map[string]any // the numbers in Text, for programs
}

// Examine runs all steps and calls report with each finding. link may be nil. Examine
// returns the error of ctx if ctx ends, and an error if no socket can be opened.
func Examine(ctx context.Context, cfg visit.Config, link *magnet.Link, report func(Finding)) error {
	cfg.Serve = false
	v, err := visit.Open(cfg)
	if err != nil {
		return err
	}
	defer v.Close()
	e := &examination{v: v, report: report}
	e.device()
	mappings := e.startMapping()
	if cfg.Outbound.Proxy != "" {
		e.proxy(ctx)
	} else {
		e.sockets(ctx)
		e.localNetwork()
	}
	e.state()
	boots := e.bootstrap(ctx)
	e.network()
	took := v.Settle(ctx)
	if ctx.Err() != nil {
		mappings(ctx)
		return ctx.Err()
	}
	e.addresses(ctx, boots)
	mappings(ctx)
	e.reachability()
	e.utp(ctx)
	e.holePunching()
	e.table(took)
	if link == nil || ctx.Err() != nil {
		return ctx.Err()
	}
	e.torrent(ctx, link)
	return ctx.Err()
}

type examination struct {
	v      *visit.Visit
	report func(Finding)
	nats   [2]natKind // by family, once nat has run
}

// addrs returns the addresses on which the examined node listens: those of Config.Node, or else of the visit.
func (e *examination) addrs() []netip.AddrPort {
	if n := e.v.Config.Node; n != nil {
		return n.Addrs()
	}
	return e.v.Addrs()
}

// port returns the port of the examined node, or 0 if nothing listens.
func (e *examination) port() uint16 {
	if as := e.addrs(); len(as) > 0 {
		return as[0].Port()
	}
	return 0
}

// hasUTP reports whether the examined node uses uTP.
func (e *examination) hasUTP() bool {
	if n := e.v.Config.Node; n != nil {
		return n.UsesUTP()
	}
	return e.v.Config.UTP
}

// isPrivate reports whether we are in a private network, where the limits that protect
// third parties do not apply to private addresses.
func (e *examination) isPrivate() bool {
	all := e.v.Addrs() // none behind a proxy
	return e.v.IsPrivate() || len(all) > 0 && !slices.ContainsFunc(all, func(a netip.AddrPort) bool { return !addrs.IsLocal(a.Addr()) })
}

// dnsLimit is the timeout of one name lookup.
const dnsLimit = 5 * time.Second

// count returns "1 peer" or "2 peers".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}

func queries(n int) string {
	if n == 1 {
		return "1 query"
	}
	return fmt.Sprintf("%d queries", n)
}

func familyName(v6 bool) string {
	if v6 {
		return "IPv6"
	}
	return "IPv4"
}

func (e *examination) state() {
	f := Finding{Step: StepState, Text: fmt.Sprintf("%s in %s", count(e.v.Saved, "saved DHT node"), e.v.Config.State), Data: map[string]any{"saved": e.v.Saved}}
	if e.v.Saved == 0 {
		f.Text = "no saved DHT nodes in " + e.v.Config.State
		if _, err := os.Stat(e.v.Config.State); err != nil {
			f.Text = "the state directory " + e.v.Config.State + " does not exist yet"
		}
	}
	e.report(f)
}

// pong is the answer of one address.
type pong struct {
	addr netip.AddrPort
	c    dht.Contact
	err  error
}

// bootstrap pings every address of every bootstrap host at the same time.
func (e *examination) bootstrap(ctx context.Context) (pongs []pong) {
	if len(e.v.Config.Bootstrap) == 0 {
		e.report(Finding{Step: StepBootstrap, Verdict: Notice, Text: "no bootstrap hosts: the DHT can be joined only through saved nodes",
			Advice: "leave out --bootstrap none to use the public hosts, or give --bootstrap HOST:PORT"})
		return nil
	}
	type host struct {
		addrs []netip.AddrPort
		took  time.Duration
		err   error
		pongs []pong
	}
	hosts := make([]host, len(e.v.Config.Bootstrap))
	var wg sync.WaitGroup
	for i, name := range e.v.Config.Bootstrap {
		wg.Go(func() {
			begun := time.Now()
			dns, cancel := context.WithTimeout(ctx, dnsLimit)
			defer cancel()
			h := &hosts[i]
			h.addrs, h.err = e.v.Resolve(dns, name)
			h.took = time.Since(begun)
			h.addrs = h.addrs[:min(len(h.addrs), 8)]
			h.pongs = make([]pong, len(h.addrs))
			var each sync.WaitGroup
			for j, a := range h.addrs {
				each.Go(func() {
					c, err := e.v.Ping(ctx, a)
					h.pongs[j] = pong{a, c, err}
				})
			}
			each.Wait()
		})
	}
	wg.Wait()
	for i, name := range e.v.Config.Bootstrap {
		h := &hosts[i]
		if h.err != nil {
			e.report(Finding{Step: StepBootstrap, What: name, Verdict: Notice, Text: "cannot resolve the name: " + dnsReason(h.err), Took: h.took})
			continue
		}
		for _, p := range h.pongs {
			f := Finding{Step: StepBootstrap, Data: map[string]any{"addr": p.addr, "answered": p.err == nil, "resolved_ms": h.took.Seconds() * 1000}}
			var refused *dht.RemoteError
			switch {
			case p.err == nil:
				f.Text, f.Took = p.addr.String()+" answered", p.c.RTT
				if p.c.External.IsValid() {
					f.Text += ", sees us as " + seenAs(p.c.External)
					f.Data["external"] = seenAs(p.c.External)
				}
			case errors.As(p.err, &refused):
				f.Text = fmt.Sprintf("%s answered with error %d", p.addr, refused.Code)
			default:
				f.Verdict, f.Text = Notice, p.addr.String()+": "+strings.TrimPrefix(p.err.Error(), "dht: ")
			}
			if name != p.addr.String() {
				f.What = name
			}
			e.report(f)
		}
		pongs = append(pongs, h.pongs...)
	}
	if !slices.ContainsFunc(pongs, func(p pong) bool { return p.err == nil }) {
		f := Finding{Step: StepBootstrap, Verdict: Bad, Text: "no bootstrap host answered", Advice: "a firewall blocks UDP, or there is no internet connection: allow outgoing UDP from port " + fmt.Sprint(e.port())}
		if len(pongs) == 0 {
			f.Text, f.Advice = "no host name can be resolved", "DNS does not work: check the resolver settings, or use an IP address: --bootstrap ADDRESS:PORT"
		}
		if e.v.Saved > 0 {
			f.Verdict = Notice
		}
		e.report(f)
	}
	return pongs
}

// network reports whether the bootstrap hosts are in a private network, and what that
// means.
func (e *examination) network() {
	if len(e.v.Config.Bootstrap) == 0 {
		return
	}
	f := Finding{Step: StepBootstrap, Text: "public network: private addresses do not count as DHT nodes", Data: map[string]any{"private": e.v.IsPrivate()}}
	if e.v.IsPrivate() {
		f.Text = "private network: every bootstrap address is private, so private addresses count as DHT nodes and peers"
	} else if hosts, _ := e.v.Bootstrap(); slices.ContainsFunc(hosts, func(a netip.AddrPort) bool { return addrs.IsLocal(a.Addr()) }) {
		f.Verdict, f.Text = Notice, "some bootstrap addresses are private and others are public: the network counts as public, so private addresses do not count as DHT nodes"
		f.Advice = "to use a private network, give only its hosts with --bootstrap"
	}
	e.report(f)
}

func dnsReason(err error) string {
	var de *net.DNSError
	if errors.As(err, &de) {
		return de.Err
	}
	return err.Error()
}

func seenAs(a netip.AddrPort) string {
	if a.Port() == 0 {
		return a.Addr().String()
	}
	return a.String()
}

func (e *examination) table(took time.Duration) {
	s := e.v.Stats()
	for _, v6 := range []bool{false, true} {
		fs := s.V4
		if v6 {
			fs = s.V6
		}
		if fs.ID.IsZero() {
			continue
		}
		secure, all, local := 0, 0, 0
		var rtts []time.Duration
		for _, n := range e.v.Nodes() {
			if n.Addr.Addr().Is6() == v6 {
				all++
				rtts = append(rtts, n.RTT)
				if n.Secure {
					secure++
				}
				if addrs.IsLocal(n.Addr.Addr()) {
					local++
				}
			}
		}
		slices.Sort(rtts)
		f := Finding{Step: StepTable, What: familyName(v6), Data: map[string]any{
			"nodes": all, "good": fs.Good, "secure": secure, "queries": fs.Out, "replies": fs.Replies, "unanswered": fs.Timeouts}}
		if all > 0 {
			f.Took = took
			f.Data["rtt_p50_ms"] = rtts[all/2].Seconds() * 1000
			f.Text = fmt.Sprintf("%s, %d good, %d with an id that matches its address, median round trip %d ms; %d of %s answered",
				count(all, "node"), fs.Good, secure, rtts[all/2].Milliseconds(), fs.Replies, queries(int(fs.Out)))
		}
		switch {
		case all == 0 && v6:
			f.Verdict, f.Text = Notice, "no nodes"
		case all == 0:
			f.Verdict, f.Text, f.Advice = Bad, "no nodes", "without a DHT node no magnet link can be opened: see the bootstrap step above"
		case fs.Good < table.K && local < all: // a private network may be small
			f.Verdict = Notice
			f.Advice = "so few nodes suggest that UDP is partly blocked, or that many packets are lost"
		}
		e.report(f)
	}
}

// reasonText describes why a dial or a connection ended.
func reasonText(err error) string {
	if errors.Is(err, netx.ErrNoFamily) {
		return "of an address family that we do not have"
	}
	return map[netx.Reason]string{
		netx.Refused: "refused", netx.TimedOut: "timed out", netx.Unreachable: "unreachable", netx.Reset: "closed by the peer",
		netx.Self: "our own address", netx.Exhausted: "no free port or descriptor on this machine", netx.Stopped: "not finished",
	}[netx.ReasonOf(err)]
}
