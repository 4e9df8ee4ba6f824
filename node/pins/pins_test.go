package pins

import (
	"crypto/ed25519"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
	"seedbed/node"
	"seedbed/node/publish"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

// home is a node that publishes and pins.
type home struct {
	*nodetest.Node
	*Manager
	t   testing.TB
	dir string
	pub *publish.Publisher
}

func start(t testing.TB, n *simnet.Net, num int, opts ...func(*Config)) *home {
	t.Helper()
	return startIn(t, n, num, t.TempDir(), opts...)
}

// startIn starts a home whose state and pins are in dir.
func startIn(t testing.TB, n *simnet.Net, num int, dir string, opts ...func(*Config)) *home {
	t.Helper()
	h := &home{t: t, dir: dir}
	h.Node = nodetest.Start(t, n, num, nodetest.Boot(100), nodetest.State(filepath.Join(dir, "state")))
	var err error
	if h.pub, err = publish.New(h.Node.Node); err != nil {
		t.Fatal(err)
	}
	cfg := Config{Node: h.Node.Node, Dir: func() string { return filepath.Join(dir, "pins") }, Poll: 10 * time.Second, Elsewhere: h.elsewhere}
	for _, o := range opts {
		o(&cfg)
	}
	if h.Manager, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	return h
}

func (h *home) Close() { h.Node.Close() }

func (h *home) elsewhere(of id.ID) string {
	for _, p := range h.pub.Open() {
		if p.Describe().Target == of {
			return "this node publishes it"
		}
	}
	return ""
}

func testKey(num byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string('a'+rune(num)), ed25519.SeedSize)))
}

func keyLink(num byte) *magnet.Link {
	return mutable.Link([ed25519.PublicKeySize]byte(testKey(num).Public().(ed25519.PublicKey)), nil, "")
}

// publish publishes a path under key number num.
func (h *home) publish(num byte, path string) *publish.Publication {
	h.t.Helper()
	p, err := h.pub.Publish(h.t.Context(), publish.Config{Key: testKey(num), KeyName: "k", Path: path, Options: &node.ShareOptions{Format: metainfo.Hybrid}})
	if err != nil {
		h.t.Fatal(err)
	}
	return p
}

// publishFile publishes a new file of that size, and returns its path.
func (h *home) publishFile(num byte, size int) (*publish.Publication, string) {
	path := filepath.Join(h.t.TempDir(), fmt.Sprint("file", num))
	filetest.Write(h.t, path, filetest.RandomBytes(fmt.Sprint(num), size))
	return h.publish(num, path), path
}

// update publishes a new content of that size.
func (h *home) update(p *publish.Publication, path string, size int) {
	h.t.Helper()
	if err := os.Remove(path); err != nil {
		h.t.Fatal(err)
	}
	filetest.Write(h.t, path, filetest.RandomBytes(fmt.Sprint(size), size))
	if changed, err := p.Update(h.t.Context()); err != nil || !changed {
		h.t.Fatal(changed, err)
	}
}

func (h *home) add(l *magnet.Link, quota int64) Status {
	h.t.Helper()
	s, _, err := h.Add(h.t.Context(), AddConfig{Link: l, Quota: quota})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

func (h *home) subscribe(l *magnet.Link, quota int64, most int) Subscription {
	h.t.Helper()
	s, _, err := h.Subscribe(h.t.Context(), SubscribeConfig{Link: l, Quota: quota, Max: most})
	if err != nil {
		h.t.Fatal(err)
	}
	return s
}

// pinOf returns the pin of a link, or nil.
func (h *home) pinOf(l *magnet.Link) *Status {
	for _, s := range h.Pins() {
		if s.ID == idOf(l) {
			return &s
		}
	}
	return nil
}

// reaches waits until a pin has a state at a version.
func (h *home) reaches(l *magnet.Link, state State, seq int64) *Status {
	h.t.Helper()
	for end := time.Now().Add(5 * time.Minute); ; time.Sleep(100 * ms) {
		s := h.pinOf(l)
		if s != nil && s.State == state && s.Seq == seq {
			return s
		}
		if time.Now().After(end) {
			h.t.Fatalf("not %s at version %d, but %+v; %s", state, seq, s, h.Warnings())
		}
	}
}

// onDisk returns the bytes of the regular files below dir.
func onDisk(dir string) (n int64) {
	filepath.Walk(dir, func(_ string, fi os.FileInfo, err error) error {
		if err == nil && fi.Mode().IsRegular() {
			n += fi.Size()
		}
		return nil
	})
	return n
}

func simulate(t *testing.T, do func(t *testing.T, n *simnet.Net)) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(7, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		do(t, n)
	})
}

// A pin fetches each new version and drops the one before. It survives a restart, and outlives
// the publisher. Its removal leaves nothing.
func TestAPinHoldsTheNewestVersion(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a, dir := start(t, n, 1), t.TempDir()
		p, path := a.publishFile(0, 50000)
		b := startIn(t, n, 2, dir)
		b.add(keyLink(0), 0)
		if s := b.reaches(keyLink(0), Held, 1); s.Size != 50000 {
			t.Errorf("it is charged with %d bytes", s.Size)
		}
		a.update(p, path, 60000)
		s := b.reaches(keyLink(0), Held, 2)
		time.Sleep(time.Second)
		if used, disk := b.Used(), onDisk(s.Dir); used != 60000 || disk != 60000 {
			t.Errorf("it is charged with %d bytes, and has %d", used, disk)
		}
		a.Close()
		b.Close()
		b = startIn(t, n, 2, dir)
		b.reaches(keyLink(0), Held, 2)
		c := start(t, n, 3)
		c.add(keyLink(0), 0)
		c.reaches(keyLink(0), Held, 2) // from b, and by the item that b has republished
		if kept, err := b.Remove(t.Context(), s.ID, true); kept || err != nil {
			t.Fatal(kept, err)
		}
		if len(b.Pins()) != 0 || b.Used() != 0 || onDisk(filepath.Join(dir, "pins")) != 0 || len(b.Torrents()) != 0 {
			t.Error("something is left of the pin")
		}
		b.Close()
		if b = startIn(t, n, 2, dir); len(b.Pins()) != 0 {
			t.Error("the pin is back after a restart")
		}
		if _, err := b.Remove(t.Context(), s.ID, true); err != ErrUnknown {
			t.Error("removed twice:", err)
		}
	})
}

// A version that exceeds the quota of its pin, or of all pins, is not fetched: not one byte of it
// reaches the disk. The version before stays, also after a restart, and the version comes when there is room.
func TestAVersionOverTheQuotaIsNotFetched(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a, dir := start(t, n, 1), t.TempDir()
		p, path := a.publishFile(0, 50000)
		a.publishFile(1, 70000)
		total := func(c *Config) { c.Quota = 130000 }
		b := startIn(t, n, 2, dir, total)
		b.add(keyLink(0), 60000)
		b.reaches(keyLink(0), Held, 1)
		b.add(keyLink(1), 0)
		b.reaches(keyLink(1), Held, 1)
		a.update(p, path, 65000)
		s := b.reaches(keyLink(0), OverQuota, 1)
		if !strings.Contains(s.Reason, "65000") || !strings.Contains(b.Warnings(), "quota of the pin") {
			t.Errorf("reason %q, warnings %s", s.Reason, b.Warnings())
		}
		b.add(keyLink(0), 0) // now all pins together would use 50,000 + 65,000 + 70,000 bytes
		time.Sleep(10 * time.Minute)
		if s := b.reaches(keyLink(0), OverQuota, 1); !strings.Contains(s.Reason, "together") {
			t.Errorf("reason %q", s.Reason)
		}
		if disk := onDisk(filepath.Join(dir, "pins")); disk != 120000 || b.Used() != 120000 {
			t.Errorf("%d bytes are on disk, %d are charged", disk, b.Used())
		}
		b.Close()
		b = startIn(t, n, 2, dir, total)
		b.reaches(keyLink(0), OverQuota, 1)
		b.reaches(keyLink(1), Held, 1)
		b.SetQuota(200000)
		b.reaches(keyLink(0), Held, 2)
	})
}

// A link without versions is pinned, counts towards the quota, and is seeded after a restart.
func TestATorrentIsPinned(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a, dir := start(t, n, 1), t.TempDir()
		p, _ := a.publishFile(0, 50000)
		link := parse(t, "magnet:?xt=urn:btih:"+p.Torrent().InfoHash().String())
		b := startIn(t, n, 2, dir, func(c *Config) { c.Quota = 40000 })
		b.add(link, 0)
		if b.reaches(link, OverQuota, 0); onDisk(filepath.Join(dir, "pins")) != 0 {
			t.Error("data is on disk")
		}
		b.SetQuota(50000)
		b.reaches(link, Held, 0)
		b.Close()
		b = startIn(t, n, 2, dir, func(c *Config) { c.Quota = 10 }) // what is held stays
		s := b.reaches(link, Held, 0)
		if b.Used() != 50000 {
			t.Errorf("%d bytes are charged", b.Used())
		}
		if _, err := b.Remove(t.Context(), s.ID, true); err != nil || onDisk(filepath.Join(dir, "pins")) != 0 {
			t.Error("removed:", err)
		}
	})
}
