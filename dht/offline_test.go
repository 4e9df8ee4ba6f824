package dht

import (
	"context"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
)

// startNetwork starts a network of real nodes and returns their addresses.
func startNetwork(t *testing.T, net *simnet.Net, size int) (addrs []netip.Addr) {
	for i := range size {
		addrs = append(addrs, public(i))
		var boot []string
		if i > 0 {
			boot = []string{at(public(0)).String(), at(public(i / 2)).String()}
		}
		newNode(t, Config{Conns: conn(t, net, public(i)), Bootstrap: boot})
		time.Sleep(100 * ms)
	}
	return addrs
}

// repliedSince returns the number of nodes in the table that have replied since then.
func (d *DHT) repliedSince(since time.Time) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, f := range d.families {
		for _, x := range f.table.Nodes() {
			if x.Replied >= d.now().Add(-time.Since(since)) && x.Fails == 0 {
				n++
			}
		}
	}
	return n
}

// pingedSince returns the number of nodes in the table that were pinged since then, because they were silent.
func (d *DHT) pingedSince(since time.Time) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.families[0].table.Nodes() {
		if x.Pinged >= d.now().Add(-time.Since(since)) {
			n++
		}
	}
	return n
}

// Every bootstrap host is dead or does not resolve, the name server does not answer,
// and a third of the saved nodes is gone.
func TestSavedNodesSufficeIfEveryHostIsDead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(30, simnet.Link{Delay: 30 * ms, Jitter: 40 * ms})
		addrs := startNetwork(t, net, 80)
		d := newNode(t, Config{Conns: conn(t, net, public(500)), Bootstrap: []string{at(public(0)).String()}})
		time.Sleep(10 * time.Minute)
		saved := d.SavedNodes()
		d.Close()
		for i, a := range addrs {
			if i%3 == 0 {
				net.Host(a).Unplug()
			}
		}
		began := time.Now()
		d = newNode(t, Config{
			Conns: conn(t, net, public(501)), Nodes: saved,
			Bootstrap: []string{"a.example:6881", "b.example:6881", at(public(900)).String(), at(public(901)).String()},
			Resolve: func(ctx context.Context, _ string, _ uint16) ([]netip.Addr, error) {
				<-ctx.Done()
				return nil, ctx.Err()
			},
		})
		within(t, 10*time.Second, "32 nodes answer", func() bool { return d.repliedSince(began) >= 32 })
		t.Logf("32 of %d saved nodes after %v", len(saved), time.Since(began))
	})
}

// Ten minutes offline do not empty the table, and the network is found again at once.
func TestBackAfterTenMinutesOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(31, simnet.Link{Delay: 30 * ms, Jitter: 40 * ms})
		addrs := startNetwork(t, net, 80)
		d := newNode(t, Config{Conns: conn(t, net, public(500)), Bootstrap: []string{at(public(0)).String()}})
		time.Sleep(30 * time.Minute)
		before := d.Stats().V4.Nodes
		link := func(l simnet.Link) {
			for _, a := range addrs {
				net.SetLink(public(500), a, l)
			}
		}
		link(simnet.Link{Loss: 1})
		for range 10 { // lookups continue
			s, err := d.Lookup(t.Context(), randomID(), nil)
			if err != nil || s.Answered > 0 {
				t.Fatal(s, err)
			}
			time.Sleep(time.Minute)
		}
		// A node that was pinged is not pinged again for a minute, so that it could not answer soon.
		if n := d.pingedSince(time.Now().Add(-8 * time.Minute)); n > 0 {
			t.Errorf("%d nodes of the table were pinged although the network was known to be away", n)
		}
		if n := d.Stats().V4.Nodes; n < before*3/4 {
			t.Errorf("%d of %d nodes are left after ten minutes offline", n, before)
		}
		link(simnet.Link{Delay: 30 * ms, Jitter: 40 * ms})
		back := time.Now()
		within(t, 10*time.Second, "32 nodes answer", func() bool { return d.repliedSince(back) >= 32 })
		t.Logf("32 nodes after %v; %d were known before", time.Since(back), before)
	})
}

// Queries that were sent offline, and are still pending when the network is back,
// do not count against any node.
func TestQueriesLostOfflineDoNotCountAgainstNodes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(33, simnet.Link{Delay: 20 * ms})
		addrs := startNetwork(t, net, 60)
		d := newNode(t, Config{Conns: conn(t, net, public(500)), Bootstrap: []string{at(public(0)).String()}})
		time.Sleep(10 * time.Minute)
		for _, a := range addrs {
			net.SetLink(public(500), a, simnet.Link{Loss: 1})
		}
		time.Sleep(5 * time.Minute)
		for range 3 {
			go d.Lookup(t.Context(), randomID(), nil)
		}
		time.Sleep(2 * time.Second)
		for _, a := range addrs {
			net.SetLink(public(500), a, simnet.Link{Delay: 20 * ms})
		}
		before := failed(d) // nodes that were queried before the loss was noticed
		for range 80 {
			time.Sleep(100 * ms)
			if n := failed(d); n > before {
				t.Fatalf("%d of %d nodes count as failed, want at most %d", n, d.Stats().V4.Nodes, before)
			}
		}
	})
}

// failed returns the number of nodes in the table that did not answer the last query.
func failed(d *DHT) (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, x := range d.families[0].table.Nodes() {
		if x.Fails > 0 {
			n++
		}
	}
	return n
}

// All known nodes disappeared while we were offline: the bootstrap hosts are
// queried again, even without a lookup.
func TestAllKnownNodesDisappearWhileOffline(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(32, simnet.Link{Delay: 20 * ms})
		addrs := startNetwork(t, net, 20)
		d := newNode(t, Config{Conns: conn(t, net, public(500)), Bootstrap: []string{at(public(600)).String()}, Nodes: []SavedNode{{ID: randomID(), Addr: at(addrs[0])}}})
		time.Sleep(10 * time.Minute)
		if n := d.Stats().V4.Nodes; n < minNodes {
			t.Fatalf("%d nodes", n)
		}
		for _, a := range addrs {
			net.Host(a).Unplug()
		}
		time.Sleep(10 * time.Minute)
		back := time.Now()
		for i := range 12 {
			var boot []string
			if i > 0 {
				boot = []string{at(public(600)).String()}
			}
			newNode(t, Config{Conns: conn(t, net, public(600+i)), Bootstrap: boot})
		}
		within(t, 3*time.Minute, "the other network is found", func() bool { return d.repliedSince(back) >= minNodes })
		within(t, 20*time.Minute, "the dead nodes are removed", func() bool { return d.Stats().V4.Nodes == 12 })
	})
}
