package fleet

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// crowd is a large fleet of nodes without torrents and DHT: what it divides are infohashes.
type crowd struct {
	*rig
	keys []id.ID
}

func newCrowd(t *testing.T, keys int) *crowd {
	c := &crowd{rig: &rig{t: t, net: simnet.New(7, simnet.Link{Delay: 10 * time.Millisecond}), nodes: map[int]*member{}}}
	t.Cleanup(func() { time.Sleep(10 * time.Second) })
	for i := range keys {
		c.keys = append(c.keys, id.ID{byte(i), byte(i >> 8), 1})
	}
	return c
}

// join starts node num, which knows another one.
func (c *crowd) join(num, other int) {
	c.t.Helper()
	m := &member{num: num, Node: nodetest.Start(c.t, c.net, num, func(c *node.Config) { c.NoDHT = true })}
	network, err := m.Host.Open(testPort)
	if err != nil {
		c.t.Fatal(err)
	}
	cfg := Config{Node: m.Node.Node, Name: name(num), Listen: fleetAddr(num).String(), Key: testKey, Store: "s3://bucket", Network: network,
		Members: []string{fleetAddr(other).String()}}
	if m.Fleet, err = Open(cfg); err != nil {
		c.t.Fatal(err)
	}
	c.nodes[num] = m
	c.t.Cleanup(func() { c.stop(m) })
}

// agree reports whether each of the nodes has taken exactly these as the members.
func (c *crowd) agree(nums []int) bool {
	var names []string
	for _, num := range nums {
		names = append(names, name(num))
	}
	slices.Sort(names)
	for _, num := range nums {
		f := c.nodes[num].Fleet
		f.mu.Lock()
		same := slices.Equal(f.settling.current, names)
		f.mu.Unlock()
		if !same {
			return false
		}
	}
	return true
}

// owners returns which of the nodes own each key, by what each of them does itself.
func (c *crowd) owners(nums []int) [][]int {
	all := make([][]int, len(c.keys))
	for i, k := range c.keys {
		for _, num := range nums {
			if c.nodes[num].Node.Owns(k) {
				all[i] = append(all[i], num)
			}
		}
	}
	return all
}

// checkCopies checks that each key has two owners among the nodes.
func (c *crowd) checkCopies(what string, nums []int) [][]int {
	c.t.Helper()
	all := c.owners(nums)
	for i, owners := range all {
		if len(owners) != copies {
			c.t.Errorf("%s: key %d is owned by %v", what, i, owners)
		}
	}
	return all
}

func upTo(first, last int) (nums []int) {
	for n := first; n <= last; n++ {
		nums = append(nums, n)
	}
	return nums
}

// cut cuts the network between two groups of nodes, or connects them again.
func (c *crowd) cut(a, b []int, isCut bool) {
	link := simnet.Link{Delay: 10 * time.Millisecond}
	if isCut {
		link = simnet.Link{Delay: time.Hour, Loss: 1}
	}
	for _, x := range a {
		for _, y := range b {
			c.net.SetLink(nodetest.Addr(x), nodetest.Addr(y), link)
		}
	}
}

// In a large fleet, members join, leave, fail, come and go, and are cut in halves. All agree in the end, each infohash has two owners on each
// side, and only the share of those that came or went moves.
func TestALargeFleet(t *testing.T) {
	size := 48
	if raceEnabled {
		size = 12
	}
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 300)
		for num := 1; num <= size; num++ {
			c.join(num, max(1, num/2))
		}
		all := upTo(1, size)
		took := c.until(2*time.Minute, "all agree", func() bool { return c.agree(all) })
		t.Logf("%d members joined in %v", size, took)
		before := c.checkCopies("all have joined", all)

		// A sixth leaves.
		staying := upTo(1, size-size/6)
		for _, num := range upTo(size-size/6+1, size) {
			c.stop(c.nodes[num])
		}
		took = c.until(2*time.Minute, "a sixth has left", func() bool { return c.agree(staying) })
		t.Logf("%d left in %v", size/6, took)
		after := c.checkCopies("a sixth has left", staying)
		moved := 0
		for i := range after {
			left := slices.DeleteFunc(slices.Clone(before[i]), func(n int) bool { return slices.Contains(staying, n) })
			if gained := slices.DeleteFunc(slices.Clone(after[i]), func(n int) bool { return slices.Contains(before[i], n) }); len(gained) != len(left) {
				t.Errorf("key %d moved from %v to %v", i, before[i], after[i])
			}
			moved += len(left)
		}
		if share := float64(moved) / float64(copies*len(after)); share < 0.05 || share > 0.3 {
			t.Errorf("%.2f of the keys moved, want a sixth", share)
		}

		// One comes and goes every 4 s: nothing moves, because it never stays away or here for long.
		shaky := c.nodes[5]
		for range 10 {
			shaky.Host.Unplug()
			time.Sleep(4 * time.Second)
			shaky.Host.Plug()
			time.Sleep(4 * time.Second)
			for i, owners := range c.owners(staying) {
				if others := slices.DeleteFunc(slices.Clone(after[i]), func(n int) bool { return n == 5 }); !containsAll(owners, others) {
					t.Fatalf("key %d moved from %v to %v", i, after[i], owners)
				}
			}
		}

		// The network is cut in halves. Each side divides everything, and they find each other again.
		left, right := staying[:len(staying)/2], staying[len(staying)/2:]
		c.cut(left, right, true)
		took = c.until(5*time.Minute, "the sides agree", func() bool { return c.agree(left) && c.agree(right) })
		t.Logf("each side agrees after %v", took)
		c.checkCopies("the left side", left)
		c.checkCopies("the right side", right)
		c.cut(left, right, false)
		took = c.until(5*time.Minute, "all agree again", func() bool { return c.agree(staying) })
		t.Logf("all agree again after %v", took)
		for i, owners := range c.checkCopies("the network is whole", staying) {
			if !slices.Equal(owners, after[i]) {
				t.Errorf("key %d is owned by %v, and was by %v", i, owners, after[i])
			}
		}
	})
}

func containsAll(list, part []int) bool {
	return !slices.ContainsFunc(part, func(n int) bool { return !slices.Contains(list, n) })
}

// A member that lies names hundreds of members that do not exist, with the store of the fleet, and sends what cannot be parsed. No more
// than maxMembers are known at a time, real members stay, and everything is as before some time later.
func TestAMemberThatLies(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newCrowd(t, 100)
		all := upTo(1, 4)
		for _, num := range all {
			c.join(num, 1)
		}
		c.until(time.Minute, "all agree", func() bool { return c.agree(all) })
		before := c.checkCopies("at first", all)
		f := c.nodes[2].Fleet
		about := meta{Store: f.store}
		for i := range 2000 {
			n := c.nodes[2].list.Load().LocalNode()
			fake := *n
			fake.Name, fake.Addr, fake.Port, fake.Meta = fmt.Sprintf("fake-%d", i), netip.AddrFrom4([4]byte{10, 200, byte(i >> 8), byte(i)}).AsSlice(), testPort, about.encode()
			e := events{f, f.members.generation}
			if err := (*delegate)(f).NotifyAlive(&fake); err == nil {
				e.NotifyJoin(&fake)
			}
		}
		for _, b := range [][]byte{nil, {0}, []byte("?"), []byte("!{}"), make([]byte, 60_000), []byte(`{"n":"node-1","t":9223372036854775807,"nt":-1}`)} {
			if err := f.take(b); err == nil {
				t.Errorf("a message of %d bytes is accepted", len(b))
			}
		}
		f.mu.Lock()
		known := len(f.members.live)
		f.mu.Unlock()
		if known != maxMembers {
			t.Errorf("%d members are known", known)
		}
		for i := range 2000 {
			e := events{f, f.members.generation}
			fake := *c.nodes[2].list.Load().LocalNode()
			fake.Name = fmt.Sprintf("fake-%d", i)
			e.NotifyLeave(&fake)
		}
		time.Sleep(time.Minute)
		if !c.agree(all) {
			t.Error("the members changed")
		}
		for i, owners := range c.checkCopies("afterwards", all) {
			if !slices.Equal(owners, before[i]) {
				t.Errorf("key %d moved from %v to %v", i, before[i], owners)
			}
		}
	})
}
