package node

import (
	"context"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/magnet"
)

func TestMain(m *testing.M) {
	if root := os.Getenv(victimRoot); root != "" {
		victim(root)
		return
	}
	goleak.VerifyTestMain(m)
}

const ms = time.Millisecond

// addr returns the address of the node with that number.
func addr(num int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(num >> 8), byte(num), 1}) }

func at(num int) netip.AddrPort { return netip.AddrPortFrom(addr(num), DefaultPort) }

// rig is a complete node on a host of the simulated network. It records its events.
type rig struct {
	*Node
	t     testing.TB
	host  *simnet.Host
	state string
	once  sync.Once

	sub   *Subscription
	added map[id.ID]*Torrent

	mu   sync.Mutex
	seen []Event // taken from sub so far
}

// start opens a node, which closes with the test. Without an option it has no
// bootstrap nodes.
func start(t testing.TB, n *simnet.Net, num int, opts ...func(*Config)) *rig {
	t.Helper()
	return startAt(t, n, at(num), opts...)
}

// startAt is start on a host with any address.
func startAt(t testing.TB, n *simnet.Net, where netip.AddrPort, opts ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, host: n.Host(where.Addr()), state: t.TempDir(), added: map[id.ID]*Torrent{}}
	cfg := Config{State: r.state, Bootstrap: []string{}}
	for _, o := range opts {
		o(&cfg)
	}
	r.state = cfg.State
	network, err := r.host.Open(where.Port())
	if err != nil {
		t.Fatal(err)
	}
	if tap, ok := cfg.Network.(*dialTap); ok {
		tap.Network = network
	} else {
		cfg.Network = network
	}
	if r.Node, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	r.sub = r.Subscribe()
	t.Cleanup(r.close)
	return r
}

func (r *rig) close() {
	r.once.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		if err := r.Close(ctx); err != nil {
			r.t.Error("closing:", err)
		}
	})
}

// boot is an option that sets the bootstrap nodes.
func boot(nums ...int) func(*Config) {
	return func(c *Config) {
		for _, n := range nums {
			c.Bootstrap = append(c.Bootstrap, at(n).String())
		}
	}
}

func noDHT(c *Config) { c.NoDHT = true }

func state(dir string) func(*Config) { return func(c *Config) { c.State = dir } }

// ring starts a private DHT of nodes 100, 101, ...
func ring(t testing.TB, n *simnet.Net, size int) {
	for i := range size {
		start(t, n, 100+i, boot(100+i/2))
	}
	time.Sleep(30 * time.Second)
}

func (r *rig) add(s Spec) *Torrent {
	r.t.Helper()
	t, err := r.Add(s)
	if err != nil {
		r.t.Fatal(err)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.added[t.InfoHash()] = t
	return t
}

// allEvents returns the events so far.
func (r *rig) allEvents() []Event {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.seen = append(r.seen, r.sub.Take()...)
	return slices.Clone(r.seen)
}

// kinds returns the kinds of the torrents' events so far.
func (r *rig) kinds() (ks []EventKind) {
	for _, e := range r.allEvents() {
		if !e.InfoHash.IsZero() && e.Kind != Changed {
			ks = append(ks, e.Kind)
		}
	}
	return ks
}

// await waits, in fake time, for the first event of a kind.
func (r *rig) await(k EventKind, limit time.Duration) Event {
	r.t.Helper()
	for end := time.Now().Add(limit); ; time.Sleep(10 * ms) {
		for _, e := range r.allEvents() {
			if e.Kind == k {
				return e
			}
		}
		if time.Now().After(end) {
			r.t.Fatalf("no event %d within %v; %v", k, limit, r.kinds())
		}
	}
}

// warnings returns the warnings so far in one string.
func (r *rig) warnings() string {
	var all []string
	for _, e := range r.allEvents() {
		if e.Kind == Warning {
			all = append(all, e.Err.Error())
		}
	}
	return strings.Join(all, "\n")
}

func wait(t testing.TB, c <-chan struct{}, limit time.Duration, what string) {
	t.Helper()
	timer := time.NewTimer(limit)
	defer timer.Stop()
	select {
	case <-c:
	case <-timer.C:
		t.Fatalf("not within %v: %s", limit, what)
	}
}

// bare returns a link with only the infohash.
func bare(s Spec) *magnet.Link { return &magnet.Link{InfoHash: s.InfoHash(), HasInfoHash: true} }

// withPeers returns a bare link with hints.
func withPeers(s Spec, peers ...string) *magnet.Link {
	l := bare(s)
	l.Peers = peers
	return l
}

// folder creates a folder of files with random content, and its torrent.
func folder(t testing.TB, o ShareOptions, files map[string]int) (Spec, string) {
	t.Helper()
	dir := filepath.Join(t.TempDir(), "things")
	for name, size := range files {
		filetest.Write(t, filepath.Join(dir, filepath.FromSlash(name)), filetest.RandomBytes(name, size))
	}
	spec, err := Share(t.Context(), dir, o)
	if err != nil {
		t.Fatal(err)
	}
	return spec, dir
}

// small is a folder of a few pieces.
var small = map[string]int{"a.bin": 300_000, "sub/b.bin": 500_000, "empty": 0, "c.txt": 10}

// settled waits until what an operation has started is done, if it returned no error.
func settled(x *Torrent, err error) error {
	if err != nil {
		return err
	}
	return x.Settled(context.Background())
}
