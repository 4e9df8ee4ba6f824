package dht

import (
	"net/netip"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/id"
	"seedbed/internal/simnet"
)

// collector collects what the functions of an Announcement are called with.
type collector struct {
	mu       sync.Mutex
	peers    map[id.ID]map[netip.AddrPort]bool
	accepted map[id.ID]int
	ends     map[id.ID]int
}

// onPort returns a port for both families.
func onPort(port uint16) addrs.Ports { return addrs.Ports{V4: port, V6: port} }

func (o *collector) add(a *Announcer, infohash id.ID, port uint16) func() {
	return a.Add(infohash, Announcement{Ports: onPort(port), Found: func(_ netip.AddrPort, ps []netip.AddrPort) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if o.peers[infohash] == nil {
			o.peers[infohash] = map[netip.AddrPort]bool{}
		}
		for _, p := range ps {
			o.peers[infohash][p] = true
		}
	}, Done: func(accepted int) {
		o.mu.Lock()
		defer o.mu.Unlock()
		o.accepted[infohash] += accepted
		o.ends[infohash]++
	}})
}

func newCollector() *collector {
	return &collector{peers: map[id.ID]map[netip.AddrPort]bool{}, accepted: map[id.ID]int{}, ends: map[id.ID]int{}}
}

func TestAnnouncerKeepsManyTorrentsAnnounced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(20, simnet.Link{Delay: 25 * ms, Jitter: 20 * ms})
		nodes := realNodes(t, net, 0, 16)
		time.Sleep(time.Minute)
		mine, other := NewAnnouncer(nodes[7]), NewAnnouncer(nodes[8])
		ours, theirs := newCollector(), newCollector()
		var keys []id.ID
		var removes []func()
		for range 40 {
			k := randomID()
			keys = append(keys, k)
			removes = append(removes, ours.add(mine, k, 7007))
		}
		theirs.add(other, keys[0], 8008)
		time.Sleep(15 * time.Second)
		if st := mine.Stats(); st.Torrents != 40 || st.V4.Unannounced != 0 || st.Late != 0 || st.Stretched {
			t.Fatalf("15 s after: %+v", st)
		}
		for _, k := range keys[:10] {
			f := newFound()
			if _, err := nodes[12].Lookup(t.Context(), k, f.add); err != nil || len(f.peers) == 0 {
				t.Fatalf("found %v, %v", f.peers, err)
			}
		}
		// The announces stay valid beyond the 45 minutes that nodes store them, and each
		// visit returns the peers of others.
		before := nodes[7].Stats().V4.Out
		time.Sleep(70 * time.Minute)
		packets := float64(nodes[7].Stats().V4.Out-before) / (40 * 70.0 / 15)
		if st := mine.Stats(); packets > 25 || len(mine.Late()) != 0 || st.V4.Fruitless > 0 {
			t.Errorf("%.1f packets an announce; %+v", packets, st)
		}
		f := newFound()
		nodes[13].Lookup(t.Context(), keys[39], f.add)
		if len(f.peers) != 1 || f.peers[0] != netip.AddrPortFrom(public(7), 7007) {
			t.Errorf("after 70 minutes: %v", f.peers)
		}
		ours.mu.Lock()
		if !ours.peers[keys[0]][netip.AddrPortFrom(public(8), 8008)] || len(ours.peers) != 1 || ours.ends[keys[1]] < 5 || ours.accepted[keys[1]] < 5*8 {
			t.Errorf("found %v, %d announces, accepted %d times", ours.peers, ours.ends[keys[1]], ours.accepted[keys[1]])
		}
		ours.mu.Unlock()
		for _, remove := range removes {
			remove()
			remove()
		}
		time.Sleep(time.Hour)
		f = newFound()
		nodes[13].Lookup(t.Context(), keys[39], f.add)
		if len(f.peers) != 0 || mine.Stats().V4.Infohashes != 0 {
			t.Errorf("found an hour after its removal: %v", f.peers)
		}
	})
}

// What is not owned is announced nowhere, not even in our own store. When it is owned, it is announced at once, though it was
// announced once before it was added.
func TestAnnouncerOfWhatIsNotOwned(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(20, simnet.Link{Delay: 25 * ms})
		nodes := realNodes(t, net, 0, 8)
		time.Sleep(time.Minute)
		a, k := NewAnnouncer(nodes[7]), randomID()
		a.SetOwned(func(id.ID) bool { return false })
		a.Add(k, Announcement{Ports: onPort(7007), Key: k, JustAnnounced4: true})
		time.Sleep(time.Minute)
		if stored := nodes[7].families[0].stored(k); a.IsAnnounced(k) || len(stored) != 0 {
			t.Errorf("our own store has %v", stored)
		}
		a.SetOwned(func(id.ID) bool { return true })
		time.Sleep(15 * time.Second)
		f := newFound()
		nodes[3].Lookup(t.Context(), k, f.add)
		if len(f.peers) != 1 || f.peers[0] != netip.AddrPortFrom(public(7), 7007) {
			t.Errorf("once it is owned, nodes return %v", f.peers)
		}
	})
}

// After SetPort, nodes return the new port within seconds.
func TestAnnouncerWithANewPort(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(21, simnet.Link{Delay: 25 * ms})
		nodes := realNodes(t, net, 0, 12)
		time.Sleep(time.Minute)
		a, keys := NewAnnouncer(nodes[7]), []id.ID{randomID(), randomID()}
		for _, k := range keys {
			a.Add(k, Announcement{Ports: onPort(7007)})
		}
		time.Sleep(10 * time.Second)
		a.SetPorts(onPort(7008))
		time.Sleep(10 * time.Second)
		for _, k := range keys {
			f := newFound()
			if _, err := nodes[11].Lookup(t.Context(), k, f.add); err != nil || !slices.Contains(f.peers, netip.AddrPortFrom(public(7), 7008)) {
				t.Errorf("found %v, %v", f.peers, err)
			}
		}
	})
}

// In an empty network, an announcer announces to itself and then to the first
// node that joins.
func TestAnnouncerInAnEmptyNetwork(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(21, simnet.Link{Delay: 20 * ms})
		lone := NewAnnouncer(newNode(t, Config{Conns: conn(t, net, public(1))}))
		ours, theirs := newCollector(), newCollector()
		infohash := randomID()
		ours.add(lone, infohash, 6881)
		time.Sleep(time.Hour)
		if st := lone.Stats(); !st.V4.Offline || st.V4.Sent != 0 || st.Late != 1 || len(lone.Late()) != 1 {
			t.Errorf("alone: %+v", st)
		}
		late := newNode(t, Config{Conns: conn(t, net, public(2)), Bootstrap: []string{at(public(1)).String()}})
		theirs.add(NewAnnouncer(late), infohash, 6881)
		time.Sleep(20 * time.Second)
		theirs.mu.Lock()
		if !theirs.peers[infohash][at(public(1))] || len(theirs.peers[infohash]) != 1 || theirs.accepted[infohash] == 0 {
			t.Errorf("who came found %v", theirs.peers)
		}
		theirs.mu.Unlock()
		ours.mu.Lock()
		if !ours.peers[infohash][at(public(2))] || ours.accepted[infohash] == 0 {
			t.Errorf("who was alone found %v", ours.peers)
		}
		ours.mu.Unlock()
		if st := lone.Stats(); st.Late != 0 || st.V4.Offline {
			t.Errorf("in company: %+v", st)
		}
	})
}

func TestAnnouncerOfTwoFamilies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(22, simnet.Link{Delay: 20 * ms})
		six := func(n int) netip.Addr {
			return netip.AddrFrom16([16]byte{0x2a, 1, 0xd, 0xb8, 0, 0, byte(n), 15: 1})
		}
		var nodes []*DHT
		for i := range 12 {
			var boot []string
			if i > 0 {
				boot = []string{at(public(0)).String(), at(six(0)).String()}
			}
			nodes = append(nodes, newNode(t, Config{Conns: conn(t, net, public(i), six(i)), Bootstrap: boot}))
		}
		time.Sleep(time.Minute)
		a := NewAnnouncer(nodes[3])
		infohash := randomID()
		a.Add(infohash, Announcement{Ports: onPort(9)})
		time.Sleep(10 * time.Second)
		if st := a.Stats(); st.V4.Unannounced != 0 || st.V6.Unannounced != 0 || st.Interval != 15*time.Minute {
			t.Fatalf("%+v", st)
		}
		f := newFound()
		nodes[7].Lookup(t.Context(), infohash, f.add)
		if len(f.peers) != 2 {
			t.Fatalf("found %v", f.peers)
		}
	})
}

// The scheduler's overload is part of Stats, and Close ends everything.
func TestAnnouncerBeyondTheRate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		net := simnet.New(23, simnet.Link{Delay: 20 * ms})
		for i := range 12 {
			newNode(t, Config{Conns: conn(t, net, public(i)), Bootstrap: []string{at(public(0)).String()}})
		}
		d := newNode(t, Config{Conns: conn(t, net, public(30)), Bootstrap: []string{at(public(0)).String()}, Rate: 20})
		a := NewAnnouncer(d)
		for range 3000 {
			a.Add(randomID(), Announcement{Ports: onPort(1)})
		}
		before := d.Stats().V4.Out
		time.Sleep(10 * time.Minute)
		st := a.Stats()
		if rate := float64(d.Stats().V4.Out-before) / 600; rate > 20 || rate < 15 {
			t.Errorf("%.1f packets a second", rate)
		}
		if !st.Stretched || st.Interval < 40*time.Minute || st.V4.Unannounced == 0 {
			t.Errorf("%+v", st)
		}
		d.Close()
	})
}
