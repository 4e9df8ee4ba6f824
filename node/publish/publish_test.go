package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"seedbed/dht"
	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

const ms = time.Millisecond

// testKey returns key number num.
func testKey(num byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string('a'+rune(num)), ed25519.SeedSize)))
}

func keyLink(key ed25519.PrivateKey) *magnet.Link {
	return mutable.Link([ed25519.PublicKeySize]byte(key.Public().(ed25519.PublicKey)), nil, "")
}

func targetOf(l *magnet.Link) id.ID { return dht.ItemTarget(l.PublicKey, l.Salt) }

// rig is a node and its publisher.
type rig struct {
	*nodetest.Node
	*Publisher
	t testing.TB
}

func start(t testing.TB, n *simnet.Net, num int, opts ...func(*node.Config)) *rig {
	t.Helper()
	r := &rig{Node: nodetest.Start(t, n, num, opts...), t: t}
	var err error
	if r.Publisher, err = New(r.Node.Node); err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) publish(key ed25519.PrivateKey, path string) *Publication {
	r.t.Helper()
	p, err := r.Publish(r.t.Context(), Config{Key: key, KeyName: "k", Path: path, Options: &node.ShareOptions{Format: metainfo.Hybrid}})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

// newest returns the newest version of a publication.
func newest(p *Publication) Version {
	v := p.Versions()
	return v[len(v)-1]
}

// If two machines use one key, the second gets an error before it signs anything, and the
// first gets a warning when it checks its item.
func TestTwoPublishersWithOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(4, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 8)
		a, b := start(t, n, 1, nodetest.Boot(100)), start(t, n, 2, nodetest.Boot(101))
		pa := a.publish(testKey(0), nodetest.Site(t, 3))
		cfg := Config{Key: testKey(0), KeyName: "k", Path: nodetest.Site(t, 4), Options: &node.ShareOptions{Format: metainfo.Hybrid}}
		_, err := b.Publish(t.Context(), cfg)
		var f *node.Fault
		if !errors.As(err, &f) || f.Kind != node.FaultConflict || !strings.Contains(err.Error(), "version 1 of this key") {
			t.Fatal(err)
		}
		if list, _ := List(b.State); len(list) != 0 {
			t.Error("something was signed despite the error:", list)
		}
		cfg.Overrule = true
		pb, err := b.Publish(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if e := b.Await(node.PublishedItem, time.Minute); e.Publication.Seq != 2 || e.Publication.Stored == 0 {
			t.Errorf("%+v", e.Publication)
		}
		time.Sleep(20 * time.Minute)
		if got := a.Warnings(); !strings.Contains(got, "version 2 of this key") {
			t.Errorf("the first publisher got no warning: %q", got)
		}
		// The first cannot publish another version.
		filetest.Write(t, filepath.Join(pa.folder.file.Path, "more"), []byte("more"))
		if _, err = pa.Update(t.Context()); !errors.As(err, &f) || f.Kind != node.FaultConflict {
			t.Error(err)
		}
		if got := b.Warnings(); got != "" {
			t.Errorf("the second publisher got a warning: %q", got)
		}
		_ = pb
	})
}

// If both sign the same number at the same time, which nothing can prevent, at least one
// gets a warning later.
func TestTwoPublishersWithOneNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(5, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 8)
		a, b := start(t, n, 1, nodetest.Boot(100)), start(t, n, 2, nodetest.Boot(101))
		errs := make(chan error, 2)
		for _, r := range []*rig{a, b} {
			path := nodetest.Site(t, 2+int(r.Host.Addr().As4()[2]))
			go func() {
				_, err := r.Publish(t.Context(), Config{Key: testKey(0), KeyName: "k", Path: path, Options: &node.ShareOptions{Format: metainfo.Hybrid}})
				errs <- err
			}()
		}
		for range 2 {
			if err := <-errs; err != nil {
				t.Log("error at once:", err)
			}
		}
		time.Sleep(40 * time.Minute)
		if wa, wb := a.Warnings(), b.Warnings(); !strings.Contains(wa+wb, "of this key") {
			t.Errorf("neither publisher got a warning: %q %q", wa, wb)
		}
	})
}

// A number is recorded before its item is put. So it is never used for another value, even
// if no DHT node can be reached.
func TestANumberIsUsedOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(6, simnet.Link{Delay: 10 * ms})
		dir, st := nodetest.Site(t, 2), t.TempDir()
		var seqs []int64
		for i := range 3 {
			filetest.Write(t, filepath.Join(dir, "n"), fmt.Append(nil, i))
			a := start(t, n, 1+i, nodetest.State(st))
			p := a.publish(testKey(0), dir)
			seqs = append(seqs, newest(p).Seq)
			a.Host.Crash()
			a.Node.Close()
		}
		if !slices.Equal(seqs, []int64{1, 2, 3}) {
			t.Fatal(seqs)
		}
		// A damaged record is not the same as a missing one.
		record := filepath.Join(st, "publications", targetOf(keyLink(testKey(0))).String(), "record")
		b, err := os.ReadFile(record)
		if err != nil {
			t.Fatal(err)
		}
		filetest.Write(t, record, b[:len(b)/2])
		a := start(t, n, 9, nodetest.State(st))
		var f *node.Fault
		if _, err := a.Publish(t.Context(), Config{Key: testKey(0), Path: dir}); !errors.As(err, &f) || f.Kind != node.FaultIO {
			t.Error(err)
		}
	})
}

// One process keeps many publications alive, also after a restart.
func TestManyPublications(t *testing.T) {
	many, nodes := 60/scale, 12
	if os.Getenv("SEEDBED_SOAK") != "" {
		many, nodes = 2000, 40 // each node keeps at most 700 items, as libtorrent does
	}
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(8, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, nodes)
		st, paths := t.TempDir(), map[int]string{}
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(st))
		for i := range many {
			paths[i] = filepath.Join(t.TempDir(), fmt.Sprint("thing ", i))
			filetest.Write(t, paths[i], filetest.RandomBytes(fmt.Sprint(i), 1000))
			if _, err := a.Publish(t.Context(), Config{Key: testKey(0), KeyName: "k", Salt: fmt.Append(nil, i), Path: paths[i], Options: &node.ShareOptions{Format: metainfo.Hybrid}}); err != nil {
				t.Fatal(err)
			}
		}
		a.Node.Close()
		list, err := List(st)
		if err != nil || len(list) != many {
			t.Fatal(len(list), err)
		}
		a = start(t, n, 2, nodetest.Boot(100), nodetest.State(st))
		began := time.Now()
		for _, p := range list {
			if _, err := a.Publish(t.Context(), Config{Key: testKey(0), Salt: []byte(p.Salt)}); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%d publications resumed in %v of fake time", many, time.Since(began))
		time.Sleep(5 * time.Hour)
		b := start(t, n, 3, nodetest.Boot(101))
		time.Sleep(10 * time.Second)
		for i := range many {
			l := keyLink(testKey(0))
			l.Salt = fmt.Append(nil, i)
			if _, version, err := b.Resolve(t.Context(), l); err != nil || version.Number != 1 {
				t.Fatalf("publication %d: %v %v", i, version.Number, err)
			}
		}
	})
}

// The link contains the web seeds, also after a restart. Files that the caller itself writes
// into the folder are left out and cause no new version.
func TestMirrorsAndOwnFiles(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(9, simnet.Link{Delay: 10 * ms})
		st, dir := t.TempDir(), nodetest.Site(t, 3)
		log := filepath.Join(dir, "log")
		filetest.Write(t, log, []byte("started"))
		own := Sharing{Omit: func(fi fs.FileInfo) bool { return fi.Name() == "log" }}
		a := start(t, n, 1, nodetest.State(st))
		p, err := a.Publish(t.Context(), Config{Key: testKey(0), KeyName: "k", Path: dir, WebSeeds: []string{"https://example.org/"}, Sharing: own})
		if err != nil {
			t.Fatal(err)
		}
		if v := newest(p); v.Files != 3 {
			t.Errorf("%d files were published", v.Files)
		}
		ctx, cancel := context.WithCancel(t.Context())
		watched := make(chan error, 1)
		go func() { watched <- p.Watch(ctx, time.Second) }()
		filetest.Write(t, log, []byte("started and went on"))
		time.Sleep(time.Minute)
		if v := newest(p); v.Seq != 1 {
			t.Errorf("version %d although only the caller's own file changed", v.Seq)
		}
		filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		nodetest.Until(t, time.Minute, "the change is published", func() bool { return newest(p).Seq == 2 })
		cancel()
		if err := <-watched; err != nil {
			t.Error(err)
		}
		a.Node.Close()
		a = start(t, n, 2, nodetest.State(st))
		pubs, failed := a.Restore(t.Context(), RestoreConfig{Sharing: own, Key: func(string) (ed25519.PrivateKey, error) { return testKey(0), nil }})
		if len(failed) > 0 || !strings.Contains(pubs[0].Link(), "&ws=https") || newest(pubs[0]).Seq != 2 {
			t.Error(failed, pubs)
		}
	})
}
