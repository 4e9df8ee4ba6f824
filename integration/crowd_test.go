//go:build linux

package integration

import (
	"cmp"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

// crowd is one seed and a number of leechers that start at the same time and know one
// another's addresses. Each has an upload limit. There is neither DHT nor tracker.
//
// Figures of a crowd are compared only with others of the same crowd or run, because the
// times depend on the machine.
type crowd struct {
	t       testing.TB
	p       *payload
	net     int       // the crowd's own 10.net.0.0/16
	members []*member // the seed is the first
	began   time.Time // the leechers' start

	libtorrents *process // runs all members that use libtorrent
}

// member is one peer of a crowd.
type member struct {
	kind string // seedbed, libtorrent or transmission
	ip   string
	up   int // upload limit in bytes a second
	dir  string

	done time.Time // when it had all data; zero if it does not yet

	// What the libtorrent process has reported, guarded by its lock: when the member had
	// all data, and how many bytes it had sent at which times.
	reported time.Time
	sent     []sample

	seedbed      *ours
	transmission *transmissionDaemon
}

// sample is a number of payload bytes up to a moment.
type sample struct {
	at    time.Time
	bytes float64
}

var lastCrowd atomic.Int32

// newCrowd returns a crowd for p with a seed and no leechers.
func newCrowd(t testing.TB, p *payload, seed string, up int) *crowd {
	c := &crowd{t: t, p: p, net: 20 + int(lastCrowd.Add(1))}
	c.add(1, seed, up)
	c.members[0].dir = p.parent
	return c
}

// add adds n members that use a client, each with this upload limit.
func (c *crowd) add(n int, kind string, up int) *crowd {
	for range n {
		// Peers in one /24 count as one host.
		ip := fmt.Sprintf("10.%d.%d.1", c.net, len(c.members)+1)
		c.members = append(c.members, &member{kind: kind, ip: ip, up: up, dir: c.t.TempDir()})
	}
	return c
}

// leechers returns all leechers, or those of the given kinds.
func (c *crowd) leechers(kinds ...string) (found []*member) {
	for _, m := range c.members[1:] {
		if len(kinds) == 0 || slices.Contains(kinds, m.kind) {
			found = append(found, m)
		}
	}
	return found
}

// before returns the addresses of the members that start before m.
func (c *crowd) before(m *member) (ips []string) {
	for _, o := range c.startOrder() {
		if o == m {
			break
		}
		ips = append(ips, o.ip)
	}
	return ips
}

// startOrder returns the members in the order in which they start. The seed is first.
// transmission is next: it cannot be given the addresses of peers, so the others dial it.
// libtorrent's sessions listen early, so seedbed is last.
func (c *crowd) startOrder() []*member {
	place := map[string]int{"transmission": 1, "libtorrent": 2, "seedbed": 3}
	order := slices.Clone(c.members)
	slices.SortStableFunc(order[1:], func(a, b *member) int { return cmp.Compare(place[a.kind], place[b.kind]) })
	return order
}

// run starts all members and returns when all leechers are complete, have the right data
// and are stopped.
func (c *crowd) run(ctx context.Context) {
	c.t.Helper()
	c.listen(ctx)
	order := c.startOrder()
	c.start(ctx, order[:1])
	seed := c.members[0]
	c.poll(ctx, "the seed to be ready", func() bool { return !seed.done.IsZero() })
	if late := c.leechers("transmission"); len(late) > 0 {
		c.start(ctx, late) // no one is left for them to dial
		time.Sleep(transmissionLead)
	}
	c.began = time.Now()
	c.start(ctx, c.leechers("libtorrent"))
	c.start(ctx, c.leechers("seedbed"))
	c.poll(ctx, "all leechers to be complete", func() bool {
		return !slices.ContainsFunc(c.members, func(m *member) bool { return m.done.IsZero() })
	})
	c.t.Log(c)
	for _, m := range c.leechers() {
		c.p.same(c.t, m.dir, false)
	}
	if !c.t.Failed() {
		c.stop()
	}
}

// transmissionLead is how long before the others transmission gets the torrent. Version
// 3.00 decides every ten seconds which peers it requests from. With this lead the others
// have a few pieces each at its next decision, so it takes part almost from the start of
// the crowd.
const transmissionLead = 6 * time.Second

//go:embed peers/libtorrent_crowd.py
var libtorrentCrowdScript string

// listen starts what needs time before it can take part.
func (c *crowd) listen(ctx context.Context) {
	c.t.Helper()
	type spec struct {
		IP    string   `json:"ip"`
		Dir   string   `json:"dir"`
		Up    int      `json:"up"`
		Peers []string `json:"peers"`
	}
	var specs []spec
	libtorrents := c.ofKind("libtorrent")
	for _, m := range c.members {
		switch m.kind {
		case "libtorrent":
			s := spec{m.ip, m.dir, m.up, []string{}}
			for _, ip := range c.before(m) {
				s.Peers = append(s.Peers, endpoint(ip))
			}
			specs = append(specs, s)
		case "transmission":
			m.transmission = transmission{}.start(c.t, m.ip, nil).(*transmissionDaemon)
			m.transmission.limit(ctx, m.up)
		}
	}
	if len(specs) == 0 {
		return
	}
	script := filepath.Join(c.t.TempDir(), "libtorrent_crowd.py")
	must(c.t, os.WriteFile(script, []byte(libtorrentCrowdScript), 0o644))
	listening := false
	c.libtorrents = start(c.t, "libtorrent's part of the crowd", func(p *process, line string) {
		var e struct {
			Event  string
			Member int
			Bytes  float64
		}
		if json.Unmarshal([]byte(line), &e) != nil {
			return
		}
		switch e.Event {
		case "listening":
			listening = true
		case "complete":
			libtorrents[e.Member].reported = time.Now()
			p.logf(line)
		case "sent":
			m := libtorrents[e.Member]
			m.sent = append(m.sent, sample{time.Now(), e.Bytes})
		}
	}, systemPython, script, encode(map[string]any{"torrent": c.p.torrent, "members": specs}))
	c.libtorrents.until(ctx, "the sessions to listen", func() bool { return listening })
}

// start gives the members the torrent.
func (c *crowd) start(ctx context.Context, members []*member) {
	c.t.Helper()
	var numbers []int // of the libtorrent members
	for _, m := range members {
		switch m.kind {
		case "libtorrent":
			numbers = append(numbers, slices.Index(c.ofKind("libtorrent"), m))
		case "transmission":
			m.transmission.leech(ctx, c.p.torrent, m.dir)
		case "seedbed":
			args := []string{"get", "--seed"}
			if m == c.members[0] {
				args = []string{"seed"}
			}
			args = append(args, c.p.torrent, "-d", m.dir, "--up-limit", fmt.Sprint(m.up))
			m.seedbed = run(c.t, m.ip, offline(append(args, peersAt(c.before(m)...)...)...)...)
		}
	}
	if len(numbers) > 0 {
		fmt.Fprintln(c.libtorrents.in, encode(map[string]any{"start": numbers}))
	}
}

// ofKind returns all members that use a client, including the seed.
func (c *crowd) ofKind(kind string) (found []*member) {
	for _, m := range c.members {
		if m.kind == kind {
			found = append(found, m)
		}
	}
	return found
}

// poll checks the members that are not complete yet until ok returns true.
func (c *crowd) poll(ctx context.Context, what string, ok func() bool) {
	c.t.Helper()
	poll(ctx, c.t, what, func() bool {
		for _, m := range c.members {
			if m.done.IsZero() {
				m.done = c.completion(ctx, m)
			}
		}
		return ok()
	})
}

// completion returns when a member had all data, or zero if it does not.
func (c *crowd) completion(ctx context.Context, m *member) (at time.Time) {
	c.t.Helper()
	if p := c.program(m); p != nil && p.hasEnded() {
		c.t.Fatalf("%s at %s ended before it was complete", m.kind, m.ip)
	}
	switch m.kind {
	case "libtorrent":
		c.libtorrents.mu.Lock()
		defer c.libtorrents.mu.Unlock()
		return m.reported
	case "transmission":
		if m.transmission.complete(ctx) {
			return time.Now()
		}
	case "seedbed":
		event := "complete"
		if m == c.members[0] {
			event = "ready" // it accepts connections from now on
		}
		if m.seedbed != nil && m.seedbed.has(event) {
			return m.seedbed.first(event).at()
		}
	}
	return at
}

// program returns the process of a member, or nil before it is started.
func (c *crowd) program(m *member) *process {
	switch {
	case m.seedbed != nil:
		return m.seedbed.process
	case m.transmission != nil:
		return m.transmission.process
	case m.kind == "libtorrent":
		return c.libtorrents
	}
	return nil
}

// stop ends all members, so that the next crowd has the machine for itself. It drops
// their output, which does not explain figures.
func (c *crowd) stop() {
	var ends sync.WaitGroup
	for _, m := range c.members {
		ends.Go(func() {
			p := c.program(m)
			p.stop()
			p.dropLog()
		})
	}
	ends.Wait()
}

// seconds returns the times from the start of the leechers until each of members was
// complete, in ascending order.
func (c *crowd) seconds(members []*member) (s []float64) {
	for _, m := range members {
		s = append(s, m.done.Sub(c.began).Seconds())
	}
	slices.Sort(s)
	return s
}

func (c *crowd) first() float64                 { return c.seconds(c.leechers())[0] }
func (c *crowd) last() float64                  { return slices.Max(c.seconds(c.leechers())) }
func (c *crowd) median(kinds ...string) float64 { return median(c.seconds(c.leechers(kinds...))) }

// fluid returns the fluid bound in seconds: the larger of the time for one copy at the
// seed's limit and that for all copies at the sum of all limits.
func (c *crowd) fluid() float64 {
	all := 0
	for _, m := range c.members {
		all += m.up
	}
	size := float64(c.p.size)
	return max(size/float64(c.members[0].up), size*float64(len(c.members)-1)/float64(all))
}

// copies returns what the seed had sent when the first leecher was complete, as a
// multiple of the torrent's size.
func (c *crowd) copies() float64 {
	seed, first := c.members[0], c.began.Add(time.Duration(c.first()*float64(time.Second)))
	sent := 0.0
	switch seed.kind {
	case "seedbed": // reports rates about once a second
		last := c.began
		for _, e := range seed.seedbed.every("progress") {
			if at := e.at(); at.After(last) && last.Before(first) {
				if at.After(first) {
					at = first
				}
				sent += float64(e.UpRate) * at.Sub(last).Seconds()
				last = at
			}
		}
	case "libtorrent":
		c.libtorrents.mu.Lock()
		defer c.libtorrents.mu.Unlock()
		for _, s := range seed.sent {
			if !s.at.After(first) {
				sent = s.bytes
			}
		}
	}
	return sent / float64(c.p.size)
}

func (c *crowd) String() string {
	s := fmt.Sprintf("seed: %s; fluid limit %.1f s; last/limit %.2f; first %.1f s, last %.1f s; the seed sent %.2f copies until the first",
		c.members[0].kind, c.fluid(), c.last()/c.fluid(), c.first(), c.last(), c.copies())
	for _, kind := range []string{"seedbed", "libtorrent", "transmission"} {
		if members := c.leechers(kind); len(members) > 0 {
			s += fmt.Sprintf("\n%s: median %.1f s of %.1f", kind, c.median(kind), c.seconds(members))
		}
	}
	return s
}

// oneFile returns a torrent of one file for crowds.
func oneFile(t testing.TB, name string, size, piece int) *payload {
	return newPayload(t, name, piece, false, map[string]int{"": size})
}

// The shape of the crowds in tests. At this rate a piece takes a quarter of a second, and
// all crowds together leave the processors mostly idle.
const (
	crowdSize  = 8 << 20
	crowdPiece = 128 << 10
	crowdUp    = 512 << 10
)

// A seed of either client serves a crowd of three clients completely.
// BenchmarkBarMixedCrowds measures how fast.
func TestCrowds(t *testing.T) {
	need(t, libtorrent{}, transmission{})
	for _, seed := range []string{"seedbed", "libtorrent"} {
		t.Run(seed, func(t *testing.T) {
			t.Parallel()
			newMixedCrowd(t, seed).run(timeLimit(t))
		})
	}
}

// newMixedCrowd returns a crowd with leechers of three clients.
func newMixedCrowd(t testing.TB, seed string) *crowd {
	return newCrowdOf(t, seed).add(4, "seedbed", crowdUp).add(4, "libtorrent", crowdUp).add(2, "transmission", crowdUp)
}

func newCrowdOf(t testing.TB, seed string) *crowd {
	return newCrowd(t, oneFile(t, "for a crowd", crowdSize, crowdPiece), seed, crowdUp)
}
