package engine

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"seedbed/internal/fifo"
	"seedbed/internal/mono"
)

// The accounting of the simulation: how each moment of each uplink was used, or why it
// was idle. Every nanosecond of an uplink, from the start of its node until the node or
// the run ends, is in exactly one of these categories.

// use is a category of an uplink's time.
type use uint8

const (
	// Blocks that a seed sent, that were new to the receiver, and whose piece no leecher
	// had completely. A piece belongs to the leecher that the seed sent its first block
	// to, while that leecher is connected.
	useFresh     use = iota // to the leecher that the piece belongs to
	useDuplicate            // to another leecher
	// Other blocks that were new to the receiver.
	useCopy   // from a seed: some leecher had the piece and could have sent it
	usePassed // from a leecher
	// Other bytes.
	useWasted  // a block that the receiver already had or had canceled, or that arrived after it left
	useControl // control messages and the headers of blocks

	// Idle time is attributed to the first of these reasons that applies. A peer is
	// useful if it is connected and lacks a piece that the node has.
	idleConnecting // no peer is connected
	idleNothing    // no peer is useful
	idlePeer       // a block is written to a useful peer that currently accepts no more
	idleWindow     // a useful peer's request waits in the engine
	idleLatency    // an unchoke to a useful peer, or a request from one, is on its way
	idleHolders    // unchoked useful peers request nothing, while other interested peers are choked
	idleUnasked    // unchoked useful peers request nothing although they could
	idleElsewhere  // the same, but all they lack is requested from others
	idleFull       // all interested useful peers are choked, and no slot is free
	idleFree       // all interested useful peers are choked, although a slot is free
	idleUnaware    // no useful peer is interested: our haves or its interest are on the way or withheld

	useOpen // a block that has not arrived yet; no longer used at the end
	nUses   = int(useOpen)
)

var useNames = [...]string{"fresh", "dupl", "copy", "passed", "wasted", "control",
	"connect", "nothing", "peer", "window", "latency", "holders", "unasked", "elsewhr", "full", "free", "unaware"}

func (u use) String() string { return useNames[u] }

// uses holds the amount of each category: of an uplink's time, or of several uplinks'
// bytes.
type uses [nUses]int64

func (u *uses) add(v *uses) {
	for k := range u {
		u[k] += v[k]
	}
}

func (u *uses) sum() (total int64) {
	for _, v := range u {
		total += v
	}
	return total
}

// share returns the fraction that some categories have of the total.
func (u *uses) share(parts ...use) float64 {
	part := int64(0)
	for _, k := range parts {
		part += u[k]
	}
	return float64(part) / float64(max(u.sum(), 1))
}

// bytes converts nanoseconds of an uplink to bytes.
func (u *uses) bytes(rate float64) (b uses) {
	for k, v := range u {
		b[k] = int64(float64(v) * rate / 1e9)
	}
	return b
}

// spending is a period in which an uplink sent bytes.
type spending struct {
	from, to mono.Time
	use      use
	waits    *simEnd // for a block: the receiving end, which currently accepts no more
}

// idleMark says why an uplink is idle from a certain time on.
type idleMark struct {
	at  mono.Time
	use use
}

// account records the use of one uplink.
type account struct {
	on          bool
	since       mono.Time     // start of the current life of the node
	lived       time.Duration // duration of earlier lives
	open        fifo.Queue[*spending]
	last        *spending // of open
	marks       []idleMark
	lookPending bool   // look will be called when the uplink is free
	seconds     []uses // nanoseconds by second
	choked      int64  // bytes of blocks sent to choked peers (BEP 6 allowed fast)
}

// charge attributes a period to a category.
func (a *account) charge(from, to mono.Time, k use) {
	for from < to {
		i := int(from / mono.Time(time.Second))
		for len(a.seconds) <= i {
			a.seconds = append(a.seconds, uses{})
		}
		end := min(to, mono.Time(i+1)*mono.Time(time.Second))
		a.seconds[i][k] += int64(end - from)
		from = end
	}
}

// spent records a period in which bytes were sent.
func (a *account) spent(from, to mono.Time, k use) *spending {
	if !a.on {
		return nil
	}
	if l := a.last; k == useControl && l != nil && l.use == k && l.to == from {
		l.to = to
		return l
	}
	a.last = &spending{from: from, to: to, use: k}
	a.open.Push(a.last)
	return a.last
}

// refund returns a period, or as much of it as can still be used. The rest was idle
// because the peer accepted nothing. It returns how much was returned.
func (a *account) refund(x *spending, most time.Duration) time.Duration {
	back := min(max(most, 0), x.to.Sub(x.from))
	x.to = x.to.Add(-back)
	x.use, x.waits = idlePeer, nil
	after := false
	for _, y := range a.open.All() {
		if after {
			y.from, y.to = y.from.Add(-back), y.to.Add(-back)
		}
		after = after || y == x
	}
	return back
}

// flush charges the periods that have ended and whose use is known.
func (a *account) flush(now mono.Time) {
	for a.open.Len() > 0 {
		x := *a.open.Front()
		if x.waits != nil && !x.waits.open { // it will not be sent, and nothing is refunded
			x.use = useWasted
		}
		if x.use == useOpen || x.to > now {
			return
		}
		a.charge(x.from, x.to, x.use)
		a.open.Pop()
		if a.last == x {
			a.last = nil
		}
	}
}

// beginAccount starts a life of the node.
func (n *simNode) beginAccount() {
	a := &n.account
	a.on = n.s.cfg.account
	a.since = n.s.now
	n.uplink.free = n.s.now
	a.marks = a.marks[:0]
	n.look()
}

// endAccount ends a life of the node.
func (n *simNode) endAccount() {
	a := &n.account
	if !a.on {
		return
	}
	now := n.s.now
	n.chargeIdle(now)
	for a.open.Len() > 0 {
		x := a.open.Pop()
		if x.use == useOpen {
			x.use = useWasted
		}
		a.charge(min(x.from, now), min(x.to, now), x.use)
	}
	a.last = nil
	a.lived += now.Sub(a.since)
	a.on = false
}

// settle gives up unused capacity that is older than what the shaper saves.
func (n *simNode) settle() {
	if n.account.on {
		n.chargeIdle(n.s.now.Add(-uplinkDepth))
	}
}

// chargeIdle charges idle time up to a certain time.
func (n *simNode) chargeIdle(to mono.Time) {
	a, u := &n.account, &n.uplink
	if u.free >= to {
		return
	}
	from := u.free
	u.free = to
	for i, m := range a.marks {
		end := to
		if i+1 < len(a.marks) {
			end = min(to, a.marks[i+1].at)
		}
		if from < end {
			a.charge(from, end, m.use)
			from = end
		}
	}
	a.prune(u.free)
}

// prune forgets the reasons that applied before a certain time.
func (a *account) prune(free mono.Time) {
	k := 0
	for k+1 < len(a.marks) && a.marks[k+1].at <= free {
		k++
	}
	a.marks = append(a.marks[:0], a.marks[k:]...)
}

// look records why the uplink is idle, if it is. It is called after every event of the
// node.
func (n *simNode) look() {
	a, u := &n.account, &n.uplink
	now := n.s.now
	if !a.on || u.waiting.Len() > 0 {
		return
	}
	if u.free > now {
		if !a.lookPending {
			a.lookPending = true
			n.s.at(u.free, func() {
				a.lookPending = false
				n.look()
			})
		}
		return
	}
	n.settle()
	a.flush(now)
	a.prune(u.free)
	if k := len(a.marks) - 1; k >= 0 && a.marks[k].at >= u.free && a.marks[k].at.Add(5*n.s.cfg.turn) > now {
		return
	}
	if k := n.idleReason(); len(a.marks) == 0 || a.marks[len(a.marks)-1].use != k {
		a.marks = append(a.marks, idleMark{now, k})
	}
}

// idleReason returns why nothing is being sent.
func (n *simNode) idleReason() use {
	var is [nUses]bool
	is[idleConnecting], is[idleNothing] = true, true
	choked := false // a useful interested peer is choked
	for _, c := range n.order {
		x := n.conns[c]
		o := x.other.owner
		p := n.e.conns[c]
		if !x.open || p == nil || p.closing {
			continue
		}
		is[idleConnecting] = false
		if o.complete || !n.have.AnyNotIn(o.have) {
			continue
		}
		is[idleNothing] = false
		is[idlePeer] = is[idlePeer] || x.parked
		is[idleWindow] = is[idleWindow] || p.up.queue.Len() > 0
		switch {
		case p.choke.unchoked && (x.other.choked || x.requests > 0):
			is[idleLatency] = true
		case p.choke.unchoked && p.choke.interested && x.other.has.AnyNotIn(o.have):
			if o.couldRequest(x.other) {
				is[idleUnasked] = true
			} else {
				is[idleElsewhere] = true
			}
		case !p.choke.unchoked && p.choke.interested:
			choked = true
		}
	}
	is[idleHolders] = choked && (is[idleUnasked] || is[idleElsewhere])
	is[idleFull] = choked && !n.e.choker.hasFree()
	is[idleFree] = choked
	for k := idleConnecting; k < idleUnaware; k++ {
		if is[k] {
			return k
		}
	}
	return idleUnaware
}

// couldRequest reports whether the peer at x has a block that n neither has nor has
// requested.
func (n *simNode) couldRequest(x *simEnd) bool {
	r := &n.e.req
	for i := x.has.Next(0); i >= 0; i = x.has.Next(i + 1) {
		if n.have.Has(i) {
			continue
		}
		pc := r.pieces.open[uint32(i)]
		if pc == nil || pc.closed > 0 {
			return true
		}
		for k := range pc.chunk {
			if pc.chunk[k].requestable {
				return true
			}
		}
	}
	return false
}

// useOfBlock returns the category of a block that is being sent, provided that it will be
// useful.
func (n *simNode) useOfBlock(piece uint32, to *simNode) use {
	s := n.s
	if !n.seed {
		return usePassed
	}
	for _, o := range s.nodes {
		if o.up && !o.seed && o.have.Has(int(piece)) {
			return useCopy
		}
	}
	if own := s.owner[piece]; own == nil || !own.up || own == to {
		s.owner[piece] = to
		return useFresh
	}
	return useDuplicate
}

// usedBy returns the bytes of the nodes' uplinks by category, by second and in total.
func (s *sim) usedBy(of func(*simNode) bool) (seconds []uses, total uses) {
	for _, n := range s.nodes {
		if !of(n) {
			continue
		}
		for i := range n.account.seconds {
			for len(seconds) <= i {
				seconds = append(seconds, uses{})
			}
			b := n.account.seconds[i].bytes(n.rate)
			seconds[i].add(&b)
			total.add(&b)
		}
	}
	return seconds, total
}

// String lists the categories of at least 0.5 %, idle ones after a bar.
func (u uses) String() string {
	var b strings.Builder
	for k := range u {
		if use(k) == idleConnecting {
			b.WriteString(" |")
		}
		if v := 100 * u.share(use(k)); v >= 0.5 {
			fmt.Fprintf(&b, " %v %.0f%%", use(k), v)
		}
	}
	return strings.TrimSpace(b.String())
}

// useTable prints the percentages of the categories for each interval: the seeds' first,
// then the leechers'.
func (s *sim) useTable(step time.Duration) string {
	per := max(int(step/time.Second), 1)
	seeds, _ := s.usedBy(func(n *simNode) bool { return n.seed })
	leechers, _ := s.usedBy(func(n *simNode) bool { return !n.seed })
	ofSeed := []use{useFresh, useDuplicate, useCopy, useWasted}
	ofLeecher := []use{usePassed, useWasted, useControl}
	for k := idleConnecting; int(k) < nUses; k++ {
		ofLeecher = append(ofLeecher, k)
	}
	var b strings.Builder
	fmt.Fprintf(&b, "%5s |", "s")
	for _, k := range ofSeed {
		fmt.Fprintf(&b, "%7v", k)
	}
	fmt.Fprintf(&b, "%7s |", "idle")
	for _, k := range ofLeecher {
		fmt.Fprintf(&b, "%8v", k)
	}
	b.WriteByte('\n')
	sum := func(list []uses, from int) (u uses) {
		for i := from; i < min(from+per, len(list)); i++ {
			u.add(&list[i])
		}
		return u
	}
	for i := 0; i < max(len(seeds), len(leechers)); i += per {
		fmt.Fprintf(&b, "%5d |", i)
		u := sum(seeds, i)
		for _, k := range ofSeed {
			fmt.Fprintf(&b, "%7.0f", 100*u.share(k))
		}
		idle := 0.0
		for k := idleConnecting; int(k) < nUses; k++ {
			idle += u.share(k)
		}
		fmt.Fprintf(&b, "%7.0f |", 100*idle)
		u = sum(leechers, i)
		for _, k := range ofLeecher {
			fmt.Fprintf(&b, "%8.0f", 100*u.share(k))
		}
		b.WriteByte('\n')
	}
	return b.String()
}

// checkAccounts fails the test unless the categories of every uplink add up to its time.
func (s *sim) checkAccounts() {
	for _, n := range s.nodes {
		total := int64(0)
		for i := range n.account.seconds {
			total += n.account.seconds[i].sum()
		}
		if total != int64(n.account.lived) {
			n.fatal("the categories of its uplink add up to %v, not %v", time.Duration(total), n.account.lived)
		}
	}
}

// Useful bytes add up to one copy per leecher, and uplinks in a known state are accounted
// for correctly.
func TestUplinksAreAccountedFor(t *testing.T) {
	for _, x := range []struct {
		crowd    string
		seed     bool // whether the seed's uplink is examined
		parts    []use
		min, max float64 // share of the categories
	}{
		{"1 8 256", true, []use{useFresh}, 0.95, 1},                                 // a single leecher takes all that the seed can send
		{"1 8 256", false, []use{idleNothing}, 0.98, 1},                             // and has nothing that anybody lacks
		{"1 8 256 down=0.5", true, []use{idlePeer}, 0.45, 0.52},                     // it accepts half of that
		{"6 8 256 uploads=100", true, []use{idleFull, idleFree, idleHolders}, 0, 0}, // with a slot for each, nobody waits for one
		{"8 8 256", false, []use{usePassed}, 0.4, 1},
		{"1 8 256 over=20s", true, []use{idleConnecting}, 0.05, 0.5}, // the seed waits for the leecher
	} {
		c, err := parseCrowd(x.crowd)
		if err != nil {
			t.Fatal(err)
		}
		r := runCrowd(t, c)
		u := &r.leechers
		if x.seed {
			u = &r.seed
		}
		if got := u.share(x.parts...); got < x.min || got > x.max {
			t.Errorf("%s: %v use %.2f of the uplinks, not %.2f to %.2f: seed: %v, leechers: %v", x.crowd, x.parts, got, x.min, x.max, r.seed, r.leechers)
		}
		all := r.seed
		all.add(&r.leechers)
		useful := float64(all[useFresh] + all[useDuplicate] + all[useCopy] + all[usePassed])
		if got := useful / float64(c.size) / float64(c.leechers); got < 0.999 || got > 1.001 {
			t.Errorf("%s: each leecher was sent %.4f copies", x.crowd, got)
		}
	}
}
