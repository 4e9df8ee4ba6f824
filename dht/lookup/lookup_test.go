package lookup

import (
	"net/netip"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/mono"
)

// The lookups start from a full table, and from three bootstrap addresses of which one may
// be dead. Querying every returned node would take about 60 queries.
func TestLookupInANetworkWithDeadNodes(t *testing.T) {
	n := newNetwork(1, 1500, 0.3, 0)
	for _, cold := range []bool{false, true} {
		sum := n.many(t, 300, cold)
		limit := 400 * time.Millisecond
		if cold {
			limit = 500 * time.Millisecond
		}
		if sum.p50 > limit || sum.queries > 38 || sum.recall < 0.97 {
			t.Errorf("cold %v: done p50 %v with %.1f queries, recall %.3f", cold, sum.p50, sum.queries, sum.recall)
		}
	}
}

func TestSameSeedSameTranscript(t *testing.T) {
	var logs [2]string
	for i := range logs {
		n := newNetwork(7, 300, 0.3, 0.1)
		n.liar = bogus(n)
		for range 5 {
			target := randomID(n.r)
			logs[i] += n.run(Config{}, target, n.startOf(n.alive(), target)).log
		}
	}
	if logs[0] != logs[1] {
		t.Fatal("two runs from one seed differ")
	}
}

// bogus answers with eight nodes that do not exist, each closer than any real one.
func bogus(n *network) func(*simNode, id.ID) []Node {
	return func(_ *simNode, target id.ID) (ns []Node) {
		for range 20 {
			x := randomID(n.r)
			copy(x[:6], target[:6])
			ns = append(ns, Node{ID: x, Addr: simAddr(1<<20 + n.r.IntN(1<<20))})
		}
		return ns
	}
}

// falseIDs answers with the addresses of honest nodes and invented ids next to the target.
func falseIDs(n *network) func(*simNode, id.ID) []Node {
	return func(_ *simNode, target id.ID) (ns []Node) {
		for range 8 {
			x := randomID(n.r)
			copy(x[:6], target[:6])
			ns = append(ns, Node{ID: x, Addr: n.nodes[n.r.IntN(len(n.nodes))].Addr})
		}
		return ns
	}
}

func TestHostileRepliesCostLittle(t *testing.T) {
	for name, liar := range map[string]func(*network) func(*simNode, id.ID) []Node{"bogus nodes": bogus, "honest addresses under false ids": falseIDs} {
		t.Run(name, func(t *testing.T) {
			n := newNetwork(3, 1000, 0.1, 0.1)
			n.liar = liar(n)
			sum := n.many(t, 100, false)
			if sum.recall < 0.9 || sum.queries > 100 {
				t.Errorf("recall %.3f with %.1f queries", sum.recall, sum.queries)
			}
		})
	}
}

// If all nodes lie, the lookup still ends within its limits.
func TestFloodIsBounded(t *testing.T) {
	n := newNetwork(5, 500, 0, 0)
	for _, s := range n.nodes {
		s.hostile = true
	}
	n.liar = func(s *simNode, target id.ID) (ns []Node) {
		for range 500 {
			ns = append(ns, Node{ID: randomID(n.r), Addr: n.nodes[n.r.IntN(len(n.nodes))].Addr})
		}
		return ns
	}
	target := randomID(n.r)
	res := n.run(Config{}, target, n.startOf(n.nodes[0], target))
	if res.stats.Asked > 128 || res.took > 30*time.Second {
		t.Fatalf("%+v in %v", res.stats, res.took)
	}
}

const t0 = mono.Time(time.Hour)

func near(target id.ID, d byte) id.ID {
	target[19] ^= d
	return target
}

func addr(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func TestALookupWithoutNodesIsOver(t *testing.T) {
	l := New(Config{}, id.ID{1}, nil, t0)
	if _, ok := l.Next(t0); ok || !l.Done() || l.Deadline() != mono.Never {
		t.Fatal("a lookup without nodes is not over at once")
	}
}

func TestLateReplyIsTaken(t *testing.T) {
	target := id.ID{1}
	l := New(Config{}, target, []Node{{ID: near(target, 1), Addr: addr("1.1.1.1:1")}, {ID: near(target, 2), Addr: addr("2.2.2.2:1")}}, t0)
	for range 2 {
		l.Next(t0)
	}
	l.Reply(t0+1, addr("1.1.1.1:1"), near(target, 1), nil, nil, nil)
	now := t0
	for !l.Done() {
		now = l.Deadline()
		l.Next(now)
	}
	if d := now.Sub(t0); d < 400*time.Millisecond || d >= 3*time.Second {
		t.Fatalf("waited %v for a late node", d)
	}
	peer := addr("9.9.9.9:9")
	news := l.Reply(now, addr("2.2.2.2:1"), near(target, 2), nil, []netip.AddrPort{peer, peer}, []byte("t"))
	if len(news) != 1 || news[0] != peer || len(l.Closest()) != 2 || string(l.Closest()[1].Token) != "t" {
		t.Fatalf("the late reply was lost: %v %v", news, l.Closest())
	}
}

func TestALookupWithoutAnswersEndsAtTheHardTimeout(t *testing.T) {
	l := New(Config{Hard: 2 * time.Second}, id.ID{1}, []Node{{Addr: addr("1.1.1.1:1")}}, t0)
	now := t0
	for !l.Done() {
		l.Next(now)
		if !l.Done() {
			now = l.Deadline()
		}
	}
	if now.Sub(t0) != 2*time.Second || l.Stats().Failed != 1 {
		t.Fatalf("gave up after %v: %+v", now.Sub(t0), l.Stats())
	}
}

func TestReplyFromANodeThatWasNotAskedIsIgnored(t *testing.T) {
	target := id.ID{1}
	l := New(Config{}, target, []Node{{Addr: addr("1.1.1.1:1")}}, t0)
	l.Next(t0)
	if got := l.Reply(t0, addr("6.6.6.6:6"), near(target, 1), nil, []netip.AddrPort{addr("6.6.6.6:6")}, nil); got != nil || len(l.Closest()) != 0 {
		t.Fatal("a node that was not asked answered")
	}
}

func TestANodeCountsUnderTheIDInItsReply(t *testing.T) {
	target := id.ID{1}
	l := New(Config{}, target, []Node{{ID: near(target, 1), Addr: addr("1.1.1.1:1")}}, t0)
	l.Next(t0)
	l.Reply(t0, addr("1.1.1.1:1"), id.ID{0xff}, nil, nil, nil)
	if got := l.Closest(); len(got) != 1 || got[0].ID != (id.ID{0xff}) {
		t.Fatalf("%v", got)
	}
}

func TestOneNodeOfASubnetUnlessRelaxed(t *testing.T) {
	for _, relaxed := range []bool{false, true} {
		target := id.ID{1}
		l := New(Config{Relaxed: relaxed}, target, []Node{
			{ID: near(target, 1), Addr: addr("1.1.1.1:1")}, {ID: near(target, 2), Addr: addr("1.1.1.2:1")}, {ID: near(target, 3), Addr: addr("[2001:db8::1]:1")},
		}, t0)
		asked := 0
		for {
			if _, ok := l.Next(t0); !ok {
				break
			}
			asked++
		}
		if want := map[bool]int{false: 2, true: 3}[relaxed]; asked != want {
			t.Errorf("relaxed %v: asked %d, want %d", relaxed, asked, want)
		}
		// The first of the two does not answer: then the other is queried.
		l.Fail(t0, addr("1.1.1.1:1"))
		if q, ok := l.Next(t0); !relaxed && (!ok || q.Addr != addr("1.1.1.2:1")) {
			t.Errorf("the neighbour of a dead node was not asked")
		}
	}
}

func TestWeNeverAskOurselves(t *testing.T) {
	own := id.ID{2}
	l := New(Config{Own: own}, id.ID{1}, []Node{{ID: own, Addr: addr("1.1.1.1:1")}}, t0)
	if _, ok := l.Next(t0); ok {
		t.Fatal("asked ourselves")
	}
}

// Dead bootstrap hosts, one or many, delay nothing.
func TestAllBootstrapAddressesAndKnownNodesAreAskedAtOnce(t *testing.T) {
	target := id.ID{1}
	var start []Node
	for i := range byte(20) {
		start = append(start, Node{ID: near(target, i+1), Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, 1, i, 1}), 1)})
	}
	for i := range byte(12) {
		start = append(start, Node{Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{9, 9, i, 1}), 1)})
	}
	l := New(Config{}, target, start, t0)
	seeds, known := 0, 0
	for {
		q, ok := l.Next(t0)
		if !ok {
			break
		}
		if q.ID.IsZero() {
			seeds++
		} else {
			known++
		}
	}
	if seeds != 12 || known != 8 {
		t.Fatalf("asked %d bootstrap addresses and %d known nodes at once", seeds, known)
	}
	// After the first reply the lookup returns to its normal width.
	l.Reply(t0+1, addr("9.9.3.1:1"), id.ID{7}, nil, nil, nil)
	if q, ok := l.Next(t0 + 1); ok {
		t.Fatalf("asked %v while an answer is pending", q)
	}
}

func TestFartherQueriesDoNotDelayCloserOnes(t *testing.T) {
	target := id.ID{1}
	rows := func(first byte) (ns []Node) {
		for i := range byte(20) {
			ns = append(ns, Node{ID: near(target, first+i), Addr: netip.AddrPortFrom(netip.AddrFrom4([4]byte{1, first, i, 1}), 1)})
		}
		return ns
	}
	l := New(Config{}, target, rows(101), t0)
	send := func() (asked []Node) {
		for {
			q, ok := l.Next(t0)
			if !ok {
				return asked
			}
			asked = append(asked, q)
		}
	}
	first := send()
	if len(first) != 8 {
		t.Fatalf("asked %d nodes at first", len(first))
	}
	// Each reply contains closer nodes: eight of these are queried, although none of
	// the earlier queries has been answered, until three times eight are pending.
	asked := first
	for i, want := range []int{8, 8, 3, 1} {
		l.Reply(t0, asked[0].Addr, asked[0].ID, rows(byte(81-20*i)), nil, nil)
		more := send()
		if len(more) != want {
			t.Fatalf("after answer %d: asked %d more, want %d", i+1, len(more), want)
		}
		asked = append(asked[1:], more...)
	}
}

func TestANodeUnderManyIDsIsAskedOnce(t *testing.T) {
	target := id.ID{1}
	l := New(Config{}, target, []Node{{Addr: addr("1.1.1.1:1")}}, t0)
	l.Next(t0)
	var named []Node
	for range 20 {
		named = append(named, Node{ID: near(target, 9), Addr: addr("1.1.1.1:1")})
	}
	l.Reply(t0, addr("1.1.1.1:1"), near(target, 1), named, nil, nil)
	if _, ok := l.Next(t0); ok || !l.Done() {
		t.Fatal("a node that has answered was asked again under another id")
	}
}

func BenchmarkLookup(b *testing.B) {
	n := newNetwork(1, 1500, 0.3, 0)
	target := randomID(n.r)
	start := n.startOf(n.nodes[0], target)
	answers := map[netip.AddrPort][]Node{}
	for _, s := range n.nodes {
		answers[s.Addr] = s.closest(target)
	}
	b.ReportAllocs()
	for b.Loop() {
		now := t0
		l := New(Config{}, target, start, now)
		for !l.Done() {
			q, ok := l.Next(now)
			if !ok {
				now = l.Deadline()
				continue
			}
			now += mono.Time(time.Millisecond)
			if !n.byAddr[q.Addr].dead {
				l.Reply(now, q.Addr, q.ID, answers[q.Addr], nil, []byte("token"))
			}
		}
	}
}
