package fleet

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/rendezvous"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// testPort is the port of the fleet on each host.
const testPort = 7946

var testKey = make([]byte, KeyLen)

// A rig is a fleet of nodes over one store, on the in-memory network, with torrents of the store.
type rig struct {
	t        *testing.T
	net      *simnet.Net
	store    *s3test.Store
	torrents []*metainfo.Torrent
	nodes    map[int]*member
}

// member is a node of a rig.
type member struct {
	*nodetest.Node
	*Fleet
	num int
}

// newRig makes a store with small torrents, and a DHT.
func newRig(t *testing.T, torrents int) *rig { return newRigOf(t, torrents, 20_000) }

// newRigOf is newRig with torrents of a size in bytes, or a little more.
func newRigOf(t *testing.T, torrents, size int) *rig {
	r := &rig{t: t, net: simnet.New(7, simnet.Link{Delay: 10 * time.Millisecond}), store: s3test.New(t), nodes: map[int]*member{}}
	t.Cleanup(func() { time.Sleep(10 * time.Second) }) // until goroutines of memberlist that wait for an answer have ended
	dir := t.TempDir()
	for i := range torrents {
		name := fmt.Sprintf("film-%d", i)
		b := filetest.RandomBytes(name, size+i)
		filetest.Write(t, dir+"/"+name, b)
		r.store.Put("data/"+name, b)
		made, err := create.Make(t.Context(), dir+"/"+name, create.Options{})
		if err != nil {
			t.Fatal(err)
		}
		r.torrents = append(r.torrents, &metainfo.Torrent{Info: made.Info})
	}
	nodetest.Ring(t, r.net, 4)
	return r
}

func fleetAddr(num int) netip.AddrPort { return netip.AddrPortFrom(nodetest.Addr(num), testPort) }

func name(num int) string { return fmt.Sprintf("node-%d", num) }

// start starts node num with all torrents of the store. It knows others by their numbers.
func (r *rig) start(num int, others ...int) *member {
	r.t.Helper()
	return r.startWith(num, func(c *Config) {
		for _, o := range others {
			c.Members = append(c.Members, fleetAddr(o).String())
		}
	})
}

// startThree starts the nodes 1 to 3, each with the same others, and waits until they divide the torrents.
func (r *rig) startThree(others ...int) {
	r.t.Helper()
	for num := 1; num <= 3; num++ {
		r.start(num, others...)
	}
	r.until(30*time.Second, "three nodes divide the torrents", func() bool { return r.divided(1, 2, 3) })
}

func (r *rig) startWith(num int, change func(*Config)) *member {
	r.t.Helper()
	t := r.t
	store := r.store.Open("data")
	m := &member{num: num}
	m.Node = nodetest.Start(t, r.net, num, nodetest.Boot(100), nodetest.Store(t, store), func(c *node.Config) { c.UpRate = 20_000 })
	network, err := m.Host.Open(testPort)
	if err != nil {
		t.Fatal(err)
	}
	cfg := Config{Node: m.Node.Node, Name: name(num), Listen: fleetAddr(num).String(), Key: testKey, Store: store.Location().String(), Network: network}
	change(&cfg)
	if m.Fleet, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	for _, torrent := range r.torrents {
		if _, err := m.Add(node.Spec{Torrent: torrent, Objects: true, Shared: true}); err != nil {
			t.Fatal(err)
		}
	}
	r.nodes[num] = m
	t.Cleanup(func() { r.stop(m) })
	return m
}

// stop ends a node properly.
func (r *rig) stop(m *member) {
	if r.nodes[m.num] != m {
		return
	}
	delete(r.nodes, m.num)
	m.Node.Close()
}

// announcing returns the numbers of the nodes that announce a torrent.
func (r *rig) announcing(t *metainfo.Torrent) (nums []int) {
	for num, m := range r.nodes {
		if m.IsAnnounced(t.Info.Hash) {
			nums = append(nums, num)
		}
	}
	slices.Sort(nums)
	return nums
}

// divided reports whether exactly these nodes divide all torrents between them: each is announced by copies of them.
func (r *rig) divided(nums ...int) bool {
	var names []string
	for _, num := range nums {
		names = append(names, name(num))
	}
	members := rendezvous.New(names)
	for _, t := range r.torrents {
		var among []int
		for _, num := range r.announcing(t) {
			if slices.Contains(nums, num) {
				among = append(among, num)
			}
		}
		var want []int
		for _, n := range members.Owners(t.Info.Hash, copies) {
			for _, num := range nums {
				if n == name(num) {
					want = append(want, num)
				}
			}
		}
		slices.Sort(want)
		if len(want) != min(copies, len(nums)) || !slices.Equal(among, want) {
			return false
		}
	}
	return true
}

// until waits until a condition holds, and returns how long that took.
func (r *rig) until(limit time.Duration, what string, holds func() bool) time.Duration {
	r.t.Helper()
	begin := time.Now()
	nodetest.Until(r.t, limit, what, holds)
	return time.Since(begin)
}

// Four nodes divide the torrents, a killed node's share moves within 30 s, and no other torrent moves. A node that joins takes
// its share, and one that leaves gives it back.
func TestOwnersAnnounce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRig(t, 24)
		r.startThree(1)
		before := map[*metainfo.Torrent][]int{}
		for _, torrent := range r.torrents {
			before[torrent] = r.announcing(torrent)
		}
		r.start(4, 2)
		took := r.until(30*time.Second, "four nodes divide the torrents", func() bool { return r.divided(1, 2, 3, 4) })
		t.Logf("joining took %v", took)
		for _, torrent := range r.torrents {
			now := r.announcing(torrent)
			if moved := slices.DeleteFunc(slices.Clone(now), func(n int) bool { return n == 4 || slices.Contains(before[torrent], n) }); len(moved) > 0 {
				t.Errorf("a torrent moved from %v to %v when node 4 joined", before[torrent], now)
			}
			before[torrent] = now
		}
		victim := r.nodes[3]
		victim.Host.Unplug()
		took = r.until(30*time.Second, "three nodes divide the torrents of the fourth", func() bool { return r.divided(1, 2, 4) })
		t.Logf("moving took %v", took)
		for _, torrent := range r.torrents {
			if now := r.announcing(torrent); !slices.Contains(before[torrent], 3) && !slices.Equal(now, before[torrent]) {
				t.Errorf("a torrent of others moved from %v to %v when node 3 was killed", before[torrent], now)
			}
		}
		victim.Host.Plug()
		r.until(60*time.Second, "the fourth takes its torrents back", func() bool { return r.divided(1, 2, 3, 4) })
		r.stop(r.nodes[2])
		took = r.until(20*time.Second, "a node leaves", func() bool { return r.divided(1, 3, 4) })
		t.Logf("leaving took %v", took)
	})
}
