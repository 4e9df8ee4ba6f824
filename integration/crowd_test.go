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

// crowd is one seed and leechers that start at once and know one another's
// addresses, each with an upload limit. There is neither DHT nor tracker.
//
// Figures of one crowd are compared with one another or with those of another crowd
// of the same run: how many seconds they take depends on the machine.
type crowd struct {
	t       testing.TB
	p       *payload
	net     int       // the crowd's own 10.net.0.0/16
	members []*member // the seed is the first
	began   time.Time // the leechers' start

	libtorrents *process // runs all members of that kind
}

// member is one peer of a crowd.
type member struct {
	kind string // seedbed, libtorrent or transmission
	ip   string
	up   int // its upload limit in bytes a second
	dir  string

	done time.Time // when it had all data; zero: not yet

	// What libtorrent's process has reported, guarded by its lock: when the member had
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

// newCrowd returns a crowd about p that has a seed and no leechers yet.
func newCrowd(t testing.TB, p *payload, seed string, up int) *crowd {
	c := &crowd{t: t, p: p, net: 20 + int(lastCrowd.Add(1))}
	c.add(1, seed, up)
	c.members[0].dir = p.parent
	return c
}

// add adds n members of a kind, each with that upload limit.
func (c *crowd) add(n int, kind string, up int) *crowd {
	for range n {
		// Peers at one /24 look like one host's.
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

// before are the addresses of those that start before m.
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
// transmission is next: it cannot be told of peers, so the others dial it. libtorrent's
// sessions listen early, so seedbed is last.
func (c *crowd) startOrder() []*member {
	place := map[string]int{"transmission": 1, "libtorrent": 2, "seedbed": 3}
	order := slices.Clone(c.members)
	slices.SortStableFunc(order[1:], func(a, b *member) int { return cmp.Compare(place[a.kind], place[b.kind]) })
	return order
}

// run starts everybody and returns when all leechers are complete, have the right
// data and are stopped.
func (c *crowd) run(ctx context.Context) {
	c.t.Helper()
	c.listen(ctx)
	order := c.startOrder()
	c.start(ctx, order[:1])
	seed := c.members[0]
	c.poll(ctx, "the seed to be ready", func() bool { return !seed.done.IsZero() })
	if late := c.leechers("transmission"); len(late) > 0 {
		c.start(ctx, late) // they have nobody to dial
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

// transmissionLead is how long before the others transmission gets the torrent.
// From then on, version 3.00 decides every ten seconds which peers it requests from. With
// this lead the others have a few pieces each when it decides next, so it takes part almost
// from the start of the crowd.
const transmissionLead = 6 * time.Second

//go:embed peers/libtorrent_crowd.py
var libtorrentCrowdScript string

// listen starts what takes time before it can take part.
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
	var numbers []int // among libtorrent's
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

// ofKind returns all members of a kind, the seed among them.
func (c *crowd) ofKind(kind string) (found []*member) {
	for _, m := range c.members {
		if m.kind == kind {
			found = append(found, m)
		}
	}
	return found
}

// poll looks at the members that are not complete yet until ok is true.
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

// completion is when a member had all data; zero if it does not.
func (c *crowd) completion(ctx context.Context, m *member) (at time.Time) {
	c.t.Helper()
	if p := c.program(m); p != nil && p.over() {
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
			event = "ready" // it takes connections from then on
		}
		if m.seedbed != nil && m.seedbed.has(event) {
			return m.seedbed.first(event).at()
		}
	}
	return at
}

// program is what runs a member; nil before it is started.
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

// stop ends everybody, so that another crowd has the machine for itself. What they
// have said is dropped: it does not explain figures.
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

// seconds are from the start of the leechers until each of members was complete,
// in order.
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

// fluid is how many seconds a crowd takes whose data is a fluid: the larger of
// one copy at the seed's limit and all copies at everybody's.
func (c *crowd) fluid() float64 {
	all := 0
	for _, m := range c.members {
		all += m.up
	}
	size := float64(c.p.size)
	return max(size/float64(c.members[0].up), size*float64(len(c.members)-1)/float64(all))
}

// copies is what the seed had sent when the first leecher was complete, as a
// multiple of the torrent's size.
func (c *crowd) copies() float64 {
	seed, first := c.members[0], c.began.Add(time.Duration(c.first()*float64(time.Second)))
	sent := 0.0
	switch seed.kind {
	case "seedbed": // tells rates, about once a second
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

// oneFile is a torrent of one file for crowds.
func oneFile(t testing.TB, name string, size, piece int) *payload {
	return newPayload(t, name, piece, false, map[string]int{"": size})
}

// The shape of the tests' crowds. At this rate a piece takes a quarter of a second,
// and all crowds together leave the processors idle most of the time.
const (
	crowdSize  = 8 << 20
	crowdPiece = 128 << 10
	crowdUp    = 512 << 10
)

// A crowd of three clients is served completely by a seed of either client. How fast
// is a matter for BenchmarkBarMixedCrowds.
func TestCrowds(t *testing.T) {
	need(t, libtorrent{}, transmission{})
	for _, seed := range []string{"seedbed", "libtorrent"} {
		t.Run(seed, func(t *testing.T) {
			t.Parallel()
			newMixedCrowd(t, seed).run(patience(t))
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
