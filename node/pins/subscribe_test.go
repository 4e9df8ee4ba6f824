package pins

import (
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/magnet"
)

// publishList publishes what h pins under key number num.
func (h *home) publishList(num byte) func() {
	h.t.Helper()
	path := filepath.Join(h.dir, "list", "pins.txt")
	if err := h.List(path); err != nil {
		h.t.Fatal(err)
	}
	p := h.publish(num, path)
	return func() {
		h.t.Helper()
		if _, err := p.Update(h.t.Context()); err != nil {
			h.t.Fatal(err)
		}
	}
}

// gone waits until a link is not pinned any more.
func (h *home) gone(l *magnet.Link) {
	h.t.Helper()
	for end := time.Now().Add(5 * time.Minute); h.pinOf(l) != nil; time.Sleep(100 * ms) {
		if time.Now().After(end) {
			h.t.Fatalf("it is still pinned: %+v", h.pinOf(l))
		}
	}
}

// Who subscribes to a list holds what it names, also after changes and a restart. A list does not
// remove the user's own pins or those of other lists.
func TestASubscriptionFollowsItsList(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a, b, dir := start(t, n, 1), start(t, n, 2), t.TempDir()
		for num := range byte(3) {
			a.publishFile(num, 20000+int(num))
		}
		a.add(keyLink(0), 0) // the publisher asks its friends to keep its own publications
		a.add(keyLink(1), 0)
		a.add(keyLink(2), 0)
		if s := a.pinOf(keyLink(0)); s.State != Elsewhere {
			t.Errorf("the pin of an own publication is %s", s.State)
		}
		publish := a.publishList(10)
		b.add(keyLink(1), 0)
		b.publishList(11)
		c := startIn(t, n, 3, dir)
		c.add(keyLink(2), 0)
		c.subscribe(keyLink(10), 1e6, 0)
		c.subscribe(keyLink(11), 1e6, 0)
		for num := range byte(3) {
			c.reaches(keyLink(num), Held, 1)
		}
		time.Sleep(2 * time.Second)
		s := c.pinOf(keyLink(1))
		first := c.Subscriptions()[0]
		for len(s.Lists) < 2 && !t.Failed() {
			time.Sleep(time.Second)
			s = c.pinOf(keyLink(1))
		}
		if first = c.Subscriptions()[0]; first.Size != 20000+20001 || c.Subscriptions()[1].Size != 0 || c.Used() != 60003 {
			t.Errorf("the lists are charged with %+v, all pins with %d", c.Subscriptions(), c.Used())
		}
		// The first list now names nothing.
		for num := range byte(3) {
			if _, err := a.Remove(t.Context(), idOf(keyLink(num)), false); err != nil {
				t.Fatal(err)
			}
		}
		publish()
		c.gone(keyLink(0))
		if _, err := os.Stat(filepath.Join(dir, "pins", idOf(keyLink(0)).String())); !os.IsNotExist(err) {
			t.Error("data of a pin that nobody wants is on disk")
		}
		c.reaches(keyLink(1), Held, 1) // the second list names it
		c.reaches(keyLink(2), Held, 1) // the user has pinned it
		c.Close()
		c = startIn(t, n, 3, dir)
		c.reaches(keyLink(1), Held, 1)
		c.reaches(keyLink(2), Held, 1)
		if err := c.Unsubscribe(t.Context(), idOf(keyLink(11))); err != nil {
			t.Fatal(err)
		}
		if c.pinOf(keyLink(1)) != nil || len(c.Subscriptions()) != 1 {
			t.Error("the pin of a list that is not subscribed to is left")
		}
	})
}

// The pins of a list stay within its quota and its number.
func TestAListStaysWithinItsQuotaAndNumber(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a := start(t, n, 1)
		for num := range byte(3) {
			a.publishFile(num, 50000)
			a.add(keyLink(num), 0)
		}
		a.publishList(10)
		b := start(t, n, 2)
		b.subscribe(keyLink(10), 70000, 2)
		count := func(state State) (count int) {
			for _, s := range b.Pins() {
				if s.State == state {
					count++
				}
			}
			return count
		}
		for end := time.Now().Add(5 * time.Minute); count(Held) < 1 || count(OverQuota) < 1; time.Sleep(100 * ms) {
			if time.Now().After(end) {
				t.Fatalf("pins %+v", b.Pins())
			}
		}
		time.Sleep(10 * time.Minute)
		if disk := onDisk(filepath.Join(b.dir, "pins")); len(b.Pins()) != 2 || disk > 50000+1000 || b.Used() != 50000 {
			t.Errorf("%d bytes on disk, %d charged; pins %+v", disk, b.Used(), b.Pins())
		}
		b.subscribe(keyLink(10), 1e6, 3)
		for num := range byte(3) {
			b.reaches(keyLink(num), Held, 1)
		}
	})
}

// Two nodes that subscribe to each other's lists hold each other's pins, and drop them when their
// user does: neither list keeps a pin of the other alive.
func TestTwoNodesSubscribeToEachOther(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		p, a, b := start(t, n, 1), start(t, n, 2), start(t, n, 3)
		p.publishFile(0, 20000)
		a.add(keyLink(0), 0)
		update := a.publishList(10)
		b.publishList(11)
		a.subscribe(keyLink(11), 1e6, 0)
		b.subscribe(keyLink(10), 1e6, 0)
		b.reaches(keyLink(0), Held, 1)
		if _, err := a.Remove(t.Context(), idOf(keyLink(0)), true); err != nil {
			t.Fatal(err)
		}
		update()
		b.gone(keyLink(0))
		time.Sleep(5 * time.Minute)
		if a.pinOf(keyLink(0)) != nil || b.pinOf(keyLink(0)) != nil {
			t.Error("the pin is back")
		}
		if _, _, err := a.Subscribe(t.Context(), SubscribeConfig{Link: keyLink(10), Quota: 1}); err == nil {
			t.Error("a node subscribes to its own list")
		}
	})
}

// A list that cannot be used changes nothing: neither a version with too many links, nor one that
// names only itself, nor a publication that is no list.
func TestHostileListsChangeNothing(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a, path := start(t, n, 1), filepath.Join(t.TempDir(), "pins.txt")
		a.publishFile(0, 20000)
		filetest.Write(t, path, FormatList("x", []*magnet.Link{keyLink(0), keyLink(10)})) // it names itself as well
		p := a.publish(10, path)
		a.publishFile(1, MaxListBytes+1)
		b := start(t, n, 2)
		b.subscribe(keyLink(10), 1e6, 0)
		b.subscribe(keyLink(1), 1e6, 0)
		b.reaches(keyLink(0), Held, 1)
		if len(b.Pins()) != 1 {
			t.Errorf("pins %+v", b.Pins())
		}
		huge := []byte(listHeader + "\n")
		for i := range MaxListed + 1 {
			huge = fmt.Appendf(huge, "magnet:?xt=urn:btih:%040x\n", i)
		}
		if err := os.WriteFile(path, huge, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := p.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		for end := time.Now().Add(5 * time.Minute); b.Subscriptions()[0].Problem == ""; time.Sleep(time.Second) {
			if time.Now().After(end) {
				t.Fatal("the list with too many links has no problem")
			}
		}
		b.reaches(keyLink(0), Held, 1)
		if disk := onDisk(filepath.Join(b.dir, "pins", idOf(keyLink(1)).String())); len(b.Pins()) != 1 || disk != 0 {
			t.Errorf("pins %+v, %d bytes of a publication that is no list", b.Pins(), disk)
		}
	})
}
