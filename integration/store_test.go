//go:build linux

package integration

import (
	"bufio"
	"bytes"
	"context"
	"encoding/hex"
	"math/rand/v2"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"seedbed/swarm/wire"
)

// The files of a torrent are objects. Whoever downloads it does not notice.

// inStore is the place of the objects in these tests.
const inStore = "s3://" + bucket + "/films"

// seedStore shares p from the store until the test ends.
func (o *objectStore) seedStore(ctx context.Context, t testing.TB, ip string, p *payload, cache string, args ...string) *ours {
	t.Helper()
	argv := slices.Concat([]string{"seed", p.torrent, "--store", inStore, "--cache", cache, "--cache-size", "1G"}, args)
	s := runAs(t, o.command(), ip, offline(argv...)...)
	s.wait(ctx, "ready")
	return s
}

// libtorrent and Transmission download objects that s3cmd has uploaded. All of them are read from the store once, with one
// request for about 8 MiB, and not again after a restart.
func TestClientsDownloadFromAStore(t *testing.T) {
	t.Parallel()
	need(t, libtorrent{}, transmission{})
	ctx := timeLimit(t)
	o := startObjectStore(ctx, t, "10.20.10.1")
	proxy := o.proxied(t, "10.20.10.2")
	p := single(t, "film from a store", 40<<20)
	o.put(ctx, p, "films/")
	cache := t.TempDir()
	// The one that dials is the one that starts last.
	seeder := o.seedStore(ctx, t, "10.20.10.3", p, cache)
	l := libtorrent{}.with(t, "10.20.10.4", nil, map[string]any{"peers": []string{endpoint("10.20.10.3")}})
	dir := t.TempDir()
	l.leech(ctx, p.torrent, dir)
	l.done(ctx)
	p.same(t, dir, false)
	must(t, seeder.cmd.Process.Signal(interrupt))
	seeder.ends(ctx, 0)
	gets, read := proxy.gets.Load(), proxy.read.Load()
	t.Logf("%d requests and %d bytes for %d", gets, read, p.size)
	if blocks := (p.size + 8<<20 - 1) / (8 << 20); gets*10 > blocks*12 || read*100 > p.size*105 {
		t.Errorf("%d requests and %d bytes for %d bytes", gets, read, p.size)
	}
	d := transmission{}.start(t, "10.20.10.6", nil)
	dir = t.TempDir()
	d.leech(ctx, p.torrent, dir)
	o.seedStore(ctx, t, "10.20.10.5", p, cache, peersAt("10.20.10.6")...)
	d.done(ctx)
	p.same(t, dir, false)
	if again := proxy.read.Load() - read; again > 0 {
		t.Errorf("%d bytes were read again after a restart", again)
	}
}

// While the store is away, what is in the cache is served, and what is not follows when the store is back.
func TestAStoreThatIsAway(t *testing.T) {
	t.Parallel()
	need(t)
	ctx := timeLimit(t)
	startObjectStore(ctx, t, "10.20.11.1").goesAway(ctx, t, "10.20.11", 0)
}

// goesAway stops the store while others download, for a time at least. Addresses of the others begin with those of a network.
func (o *objectStore) goesAway(ctx context.Context, t *testing.T, network string, atLeast time.Duration) {
	p := newPayload(t, "two objects", piece, false, map[string]int{"a": 16 << 20, "b": 48 << 20}) // some of b is read ahead
	o.put(ctx, p, "films/")
	seeder := network + ".2"
	o.seedStore(ctx, t, seeder, p, t.TempDir())
	get := func(ip string, args ...string) (*ours, string) {
		dir := t.TempDir()
		return run(t, network+ip, offline(slices.Concat([]string{"get", p.torrent, "-d", dir}, peersAt(seeder), args)...)...), dir
	}
	first, _ := get(".3", "--select", "1")
	first.ends(ctx, 0)
	o.stop()
	stopped := time.Now()
	second, dir := get(".4", "--select", "1")
	second.ends(ctx, 0)
	p.only(func(f file) bool { return f.path == "two objects/a" }).same(t, dir, true)
	third, dir := get(".5")
	third.wait(ctx, "peers", func(e event) bool { return e.Connected > 0 })
	select {
	case <-time.After(time.Until(stopped.Add(atLeast))):
	case <-ctx.Done():
	}
	o.start(ctx)
	started := time.Now()
	third.ends(ctx, 0)
	t.Logf("the store was away for %.0f s, and what lacked came %.1f s after it was back", started.Sub(stopped).Seconds(), time.Since(started).Seconds())
	p.same(t, dir, true)
}

// Every request may be slow, refused or cut. All bytes are right in the end, and none is wrong before.
func TestAStoreThatFails(t *testing.T) {
	t.Parallel()
	need(t)
	ctx := timeLimit(t)
	startObjectStore(ctx, t, "10.20.12.1").failsAtRandom(ctx, t, "10.20.12")
}

// failsAtRandom has requests to the store fail while a peer asks for everything.
func (o *objectStore) failsAtRandom(ctx context.Context, t *testing.T, network string) {
	proxy := o.proxied(t, network+".2")
	p := tree(t, "objects of a bad store", 30<<20)
	o.put(ctx, p, "films/")
	var mu sync.Mutex
	dice := rand.New(rand.NewPCG(1, 2))
	var faults [5]int
	proxy.fail(func(r *http.Request) (f storeFault) {
		mu.Lock()
		defer mu.Unlock()
		k := dice.IntN(2 * len(faults))
		switch k {
		case 0:
			f.status = http.StatusInternalServerError
		case 1:
			f.status = http.StatusServiceUnavailable
		case 2:
			f.cut = 1 + dice.Int64N(6<<20)
		case 3:
			f.delay = time.Second
		case 4:
			f.down = true
		default:
			return f
		}
		faults[k]++
		return f
	})
	o.seedStore(ctx, t, network+".3", p, t.TempDir())
	r, err := askRaw(ctx, network+".4", network+".3", p, 20)
	must(t, err)
	t.Logf("faults: %v; %d blocks, %d refused", faults, r.right, r.refused)
	if r.wrong > 0 || r.missing() > 0 {
		t.Errorf("%+v", r)
	}
}

// An object that is replaced by another one of the same size is never served. When it is put right, it is, to a peer that has got
// the rest meanwhile, although the cache is the same.
func TestAnObjectThatIsReplaced(t *testing.T) {
	t.Parallel()
	need(t)
	ctx := timeLimit(t)
	o := startObjectStore(ctx, t, "10.20.13.1")
	p := newPayload(t, "replaced", piece, false, map[string]int{"a": 16 << 20, "b": 16 << 20})
	o.put(ctx, p, "films/")
	s := o.seedStore(ctx, t, "10.20.13.2", p, t.TempDir())

	other := *p
	other.parent, other.files = t.TempDir(), slices.Clone(p.files)
	wrong := bytes.Clone(p.files[1].data)
	for i := range wrong {
		wrong[i] ^= 1
	}
	other.files[1].data = wrong
	other.write(t, other.parent)
	o.put(ctx, &other, "films/")

	r, err := askRaw(ctx, "10.20.13.3", "10.20.13.2", p, 1)
	if r.wrong > 0 {
		t.Errorf("%d blocks were wrong", r.wrong)
	}
	t.Logf("%+v, %v", r, err)
	if r.right == 0 || r.missing() == 0 {
		t.Errorf("%+v: the object that is there is served, and the other one is not", r)
	}
	s.wait(ctx, "warning")
	dir := t.TempDir()
	get := run(t, "10.20.13.4", offline(slices.Concat([]string{"get", p.torrent, "-d", dir}, peersAt("10.20.13.2"))...)...)
	get.wait(ctx, "progress", func(e event) bool { return e.Have == 16<<20 })
	if s.has("recovered") {
		t.Error("it is reported as recovered although the object is still wrong")
	}

	o.put(ctx, p, "films/")
	get.ends(ctx, 0)
	p.same(t, dir, true)
	s.wait(ctx, "recovered")
}

// rawAnswers is what became of the requests of askRaw.
type rawAnswers struct {
	blocks, right, wrong, refused int
	stall                         time.Duration // the longest time between two blocks
}

func (a rawAnswers) missing() int { return a.blocks - a.right }

// askRaw requests every block of a torrent, again up to so many times in all if it is refused, and compares what it gets.
func askRaw(ctx context.Context, from, to string, p *payload, tries int) (a rawAnswers, err error) {
	var all bytes.Buffer
	for _, f := range p.files {
		all.Write(f.data)
	}
	data := all.Bytes()
	var hash [20]byte
	if _, err := hex.Decode(hash[:], []byte(p.infohash)); err != nil {
		return a, err
	}
	d := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	nc, err := d.DialContext(ctx, "tcp", endpoint(to))
	if err != nil {
		return a, err
	}
	defer nc.Close()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	r := bufio.NewReaderSize(nc, 64<<10)
	if err := handshake(nc, r, hash); err != nil {
		return a, err
	}
	if _, err := nc.Write(wire.Append(wire.Append(nil, wire.Msg{Type: wire.HaveNone}), wire.Msg{Type: wire.Interested})); err != nil {
		return a, err
	}
	const block, ahead = 16 << 10, 64
	var todo []int64
	for off := int64(0); off < p.size; off += block {
		todo = append(todo, off)
	}
	a.blocks = len(todo)
	waiting, refusals, choked := map[int64]bool{}, map[int64]int{}, true
	var b []byte
	var last time.Time
	for a.right+a.wrong+a.refused < a.blocks {
		var out []byte
		for !choked && len(waiting) < ahead && len(todo) > 0 {
			off := todo[0]
			todo = todo[1:]
			waiting[off] = true
			out = wire.Append(out, wire.Msg{Type: wire.Request, Index: uint32(off / p.piece), Begin: uint32(off % p.piece), Length: uint32(min(block, p.size-off))})
		}
		if _, err := nc.Write(out); err != nil {
			return a, err
		}
		var m wire.Msg
		if m, b, err = frame(r, b); err != nil {
			return a, err
		}
		off := int64(m.Index)*p.piece + int64(m.Begin)
		switch m.Type {
		case wire.Unchoke:
			choked = false
		case wire.Choke:
			choked = true
		case wire.Reject:
			delete(waiting, off)
			if refusals[off]++; refusals[off] < tries {
				todo = append(todo, off)
			} else {
				a.refused++
			}
		case wire.Piece:
			delete(waiting, off)
			now := time.Now()
			if !last.IsZero() {
				a.stall = max(a.stall, now.Sub(last))
			}
			last = now
			if bytes.Equal(m.Payload, data[off:off+int64(len(m.Payload))]) {
				a.right++
			} else {
				a.wrong++
			}
		}
	}
	return a, nil
}
