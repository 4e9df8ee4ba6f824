package publish

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

// inStore gives a node the store.
func inStore(s *s3test.Store) func(*node.Config) {
	return func(c *node.Config) { c.Objects = &node.Objects{Store: s.Open("p")} }
}

// sharedOf returns the record of a publication in the store.
func sharedOf(t testing.TB, s *s3test.Store, p *Publication) *sharedRecord {
	t.Helper()
	b := s.Get("p/" + publicationsPrefix + p.target.String())
	if b == nil {
		return nil
	}
	r, err := parseShared(b, p.target)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func (r *rig) publishWith(path string) (*Publication, error) {
	return r.Publish(r.t.Context(), Config{Key: testKey(0), KeyName: "k", Path: path, Options: &node.ShareOptions{Format: metainfo.Hybrid}})
}

// Publishers of the same content publish one version, and with different content the later one gets the next number. Each
// learns of the versions of the other, and nobody is warned.
func TestPublishersOfOneStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(4, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		a, b := start(t, n, 1, nodetest.Boot(100), inStore(store)), start(t, n, 2, nodetest.Boot(101), inStore(store))
		same := [2]string{nodetest.Site(t, 3), nodetest.Site(t, 3)}
		var pubs [2]*Publication
		var wg sync.WaitGroup
		for i, r := range []*rig{a, b} {
			wg.Go(func() {
				var err error
				if pubs[i], err = r.publishWith(same[i]); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		pa, pb := pubs[0], pubs[1]
		for _, p := range pubs {
			if v := newest(p); v.Seq != 1 || v.InfoHash != newest(pa).InfoHash || p.folder.torrent(&v) == nil {
				t.Errorf("%+v", v)
			}
		}
		filetest.Write(t, filepath.Join(same[1], "more"), []byte("more"))
		if changed, err := pb.Update(t.Context()); !changed || err != nil || newest(pb).Seq != 2 {
			t.Fatal(changed, err, newest(pb))
		}
		time.Sleep(40 * time.Minute) // the first one checks its item
		if v := newest(pa); v.Seq != 2 || v.InfoHash != newest(pb).InfoHash || !v.Other {
			t.Errorf("the first publisher has not learned of version 2: %+v", v)
		}
		filetest.Write(t, filepath.Join(same[0], "other"), []byte("other"))
		if changed, err := pa.Update(t.Context()); !changed || err != nil || newest(pa).Seq != 3 {
			t.Fatal(changed, err, newest(pa))
		}
		time.Sleep(time.Minute)
		if _, v, err := b.Resolve(t.Context(), keyLink(testKey(0))); err != nil || v.Number != 3 {
			t.Error(v.Number, err)
		}
		if r := sharedOf(t, store, pa); len(r.Versions) != 3 {
			t.Errorf("%d versions in the store", len(r.Versions))
		}
		if got := a.Warnings() + b.Warnings(); got != "" {
			t.Error("warned:", got)
		}
	})
}

// raceOf is two publishers of one publication that race for its numbers.
type raceOf struct {
	t     *testing.T
	store *s3test.Store
	pubs  [2]*Publication

	mu                   sync.Mutex
	random               *rand.Rand
	values               map[int64][]byte // by number, of what was put
	published, converged int
}

// publish publishes one of the torrents, as Publication.item does without the DHT.
func (r *raceOf) publish(p *Publication, torrents []*metainfo.Torrent) {
	r.mu.Lock()
	torrent := torrents[r.random.IntN(len(torrents))]
	r.mu.Unlock()
	p.making.Lock()
	defer p.making.Unlock()
	c := &content{spec: node.Spec{Torrent: torrent}, fresh: true}
	if err := p.catchUp(r.t.Context(), c); err != nil {
		r.t.Error(err)
		return
	}
	item, isFresh, _, err := p.decide(r.t.Context(), c, &found{}, false)
	if err != nil {
		r.t.Error(err)
		return
	}
	shared := sharedOf(r.t, r.store, p)
	r.mu.Lock()
	defer r.mu.Unlock()
	if was := r.values[item.Seq]; was != nil && !bytes.Equal(was, item.Value) {
		r.t.Errorf("a fork: version %d has two values", item.Seq)
	}
	r.values[item.Seq] = item.Value
	if !isFresh {
		r.converged++
		return
	}
	r.published++
	if !shared.has(&sharedVersion{Seq: item.Seq, Value: item.Value}) {
		r.t.Errorf("version %d is lost", item.Seq)
	}
}

// check compares what was put with the history in the records.
func (r *raceOf) check() {
	for _, p := range r.pubs {
		p.making.Lock()
		if err := p.adopt(r.t.Context()); err != nil {
			r.t.Fatal(err)
		}
		p.making.Unlock()
		versions := p.Versions()
		if len(versions) != len(r.values) {
			r.t.Errorf("%d versions in the record, %d were published", len(versions), len(r.values))
		}
		for _, v := range versions {
			if !bytes.Equal(r.values[v.Seq], v.Value) {
				r.t.Errorf("version %d has another value in the record", v.Seq)
			}
		}
		p.Close()
	}
}

// Two publishers race for numbers while the store is slow, fails, and does what it was asked for without saying so.
func TestBatteryOfTwoPublishers(t *testing.T) {
	const each = 8 // races for one publication
	rounds := 200 / scale
	if os.Getenv("SEEDBED_SOAK") != "" {
		rounds = 1000
	}
	synctest.Test(t, func(t *testing.T) {
		n, r := simnet.New(1, simnet.Link{}), raceOf{t: t, store: s3test.New(t), random: rand.New(rand.NewPCG(1, 2))}
		a, b := start(t, n, 1, inStore(r.store)), start(t, n, 2, inStore(r.store))
		for _, one := range []*rig{a, b} {
			if isConditional, err := one.fence.ready(t.Context()); !isConditional || err != nil {
				t.Fatal(err)
			}
		}
		var torrents []*metainfo.Torrent
		for i := range 5 {
			dir := filepath.Join(t.TempDir(), "site")
			filetest.Write(t, filepath.Join(dir, "n"), fmt.Append(nil, i))
			made, err := node.Make(t.Context(), dir, node.ShareOptions{Format: metainfo.V1})
			if err != nil {
				t.Fatal(err)
			}
			torrents = append(torrents, &metainfo.Torrent{Info: made.Info})
		}
		for round := range rounds {
			if round%each == 0 {
				r.values = map[int64][]byte{}
				for i, one := range []*rig{a, b} {
					var err error
					if r.pubs[i], err = one.openPublication(&Config{Key: testKey(0), KeyName: "k", Salt: fmt.Append(nil, round)}); err != nil {
						t.Fatal(err)
					}
					r.pubs[i].making.Unlock()
				}
			}
			r.store.SetFault(r.fault)
			var wg sync.WaitGroup
			for _, p := range r.pubs {
				wg.Go(func() { r.publish(p, torrents) })
			}
			wg.Wait()
			if round%each == each-1 || round == rounds-1 {
				r.store.SetFault(nil)
				time.Sleep(time.Minute) // for writes that are late
				r.check()
			}
			if t.Failed() {
				t.Fatal("in race ", round)
			}
		}
		if r.published < rounds/2 || r.converged == 0 {
			t.Errorf("%d published, %d converged", r.published, r.converged)
		}
		t.Logf("%d races: %d versions published, %d times the content was that of the newest", rounds, r.published, r.converged)
	})
}

// fault says what goes wrong with a request: more than half of them are as they should be.
func (r *raceOf) fault(request *http.Request) s3test.Fault {
	r.mu.Lock()
	defer r.mu.Unlock()
	f := s3test.Fault{Delay: time.Duration(r.random.Int64N(int64(200 * ms)))}
	isWrite := request.Method == http.MethodPut
	switch r.random.IntN(8) {
	case 0:
		f.Status = http.StatusInternalServerError
	case 1:
		f.Status = http.StatusServiceUnavailable
	case 2:
		f.Lost = isWrite
	case 3:
		if f.Lost = isWrite; isWrite { // it is done after the publisher has given up
			f.Delay = time.Duration(r.random.Int64N(int64(20 * time.Second)))
		}
	case 4:
		f.CutAfter = 1 + r.random.IntN(50)
	}
	return f
}

// A publisher that dies between taking a number and putting its item leaves that to the next one.
func TestTheNextPublisherFinishes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(5, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		a := start(t, n, 1, inStore(store)) // it knows nobody in the DHT
		dir := nodetest.Site(t, 2)
		pa, err := a.publishWith(dir)
		if err != nil {
			t.Fatal(err)
		}
		a.Node.Close()
		b := start(t, n, 2, nodetest.Boot(101), inStore(store))
		pb, err := b.publishWith(dir)
		if err != nil {
			t.Fatal(err)
		}
		if v := newest(pb); v.Seq != 1 || !bytes.Equal(v.Value, newest(pa).Value) || !v.Other || !pb.Outcome().IsUnchanged {
			t.Errorf("%+v", v)
		}
		time.Sleep(time.Minute)
		if _, v, err := b.Resolve(t.Context(), keyLink(testKey(0))); err != nil || v.Number != 1 {
			t.Error(v.Number, err)
		}
	})
}

// A publisher that starts again with unchanged files does not replace the version that another one has published since
// then. When its files change, it does.
func TestARestartDoesNotReplaceNewerVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(6, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		state, dir := t.TempDir(), nodetest.Site(t, 2)
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state), inStore(store))
		if _, err := a.publishWith(dir); err != nil {
			t.Fatal(err)
		}
		a.Node.Close()
		b := start(t, n, 2, nodetest.Boot(101), inStore(store))
		if _, err := b.publishWith(nodetest.Site(t, 3)); err != nil {
			t.Fatal(err)
		}
		for i := range 2 {
			a = start(t, n, 3+i, nodetest.Boot(100), nodetest.State(state), inStore(store))
			p, err := a.Publish(t.Context(), Config{Key: testKey(0)})
			if err != nil {
				t.Fatal(err)
			}
			if v := newest(p); v.Seq != 2 || !strings.Contains(a.Warnings(), "version 2 was published by another machine") {
				t.Errorf("run %d: version %d; %q", i, v.Seq, a.Warnings())
			}
			if i == 1 {
				filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
				if changed, err := p.Update(t.Context()); !changed || err != nil || newest(p).Seq != 3 {
					t.Error(changed, err, newest(p).Seq)
				}
			}
			a.Node.Close()
		}
	})
}

// While the store is away, the item on record is republished, and a new version waits.
func TestPublishingWaitsForTheStore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(7, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		state, dir := t.TempDir(), nodetest.Site(t, 2)
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state), inStore(store))
		if _, err := a.publishWith(dir); err != nil {
			t.Fatal(err)
		}
		a.Node.Close()
		filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		store.SetDown(true)
		a = start(t, n, 2, nodetest.Boot(100), nodetest.State(state), inStore(store))
		done := make(chan error, 1)
		go func() {
			_, err := a.Publish(t.Context(), Config{Key: testKey(0)})
			done <- err
		}()
		time.Sleep(3 * time.Hour) // longer than nodes keep an item
		if got := a.Warnings(); strings.Count(got, "waits for the object store") != 1 {
			t.Errorf("warnings: %q", got)
		}
		b := start(t, n, 3, nodetest.Boot(101))
		time.Sleep(10 * time.Second)
		if _, v, err := b.Resolve(t.Context(), keyLink(testKey(0))); err != nil || v.Number != 1 {
			t.Error("version 1 is not republished:", v.Number, err)
		}
		store.SetDown(false)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		if v := newest(a.Open()[0]); v.Seq != 2 {
			t.Error(v.Seq)
		}
		// If there is nothing new, the store is not needed.
		a.Node.Close()
		store.SetDown(true)
		a = start(t, n, 4, nodetest.Boot(100), nodetest.State(state), inStore(store))
		if p, err := a.Publish(t.Context(), Config{Key: testKey(0)}); err != nil || newest(p).Seq != 2 {
			t.Error(err)
		}
	})
}

// Without conditional writes, only one publisher is allowed. When it has ended, the next one is.
func TestAStoreWithoutConditionsHasOnePublisher(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(8, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		store.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{IgnoreMatch: true} })
		nodetest.Ring(t, n, 8)
		a, b := start(t, n, 1, nodetest.Boot(100), inStore(store)), start(t, n, 2, nodetest.Boot(101), inStore(store))
		if _, err := a.publishWith(nodetest.Site(t, 2)); err != nil {
			t.Fatal(err)
		}
		refused := func() bool {
			_, err := b.publishWith(nodetest.Site(t, 3))
			var f *node.Fault
			if err != nil && (!errors.As(err, &f) || f.Kind != node.FaultConflict || !strings.Contains(err.Error(), "no conditional writes")) {
				t.Fatal(err)
			}
			return err != nil
		}
		time.Sleep(10 * time.Minute)
		if !refused() {
			t.Error("a second publisher was not refused")
		}
		a.Node.Close() // gives the lease up
		began := time.Now()
		if refused() || time.Since(began) > leaseTime {
			t.Errorf("after the first publisher has ended: %v", time.Since(began))
		}
		// A publisher that was killed is waited for.
		b.Node.Close()
		store.Put("p/"+leaseName, []byte(`{"publisher":"killed","count":7}`))
		c := start(t, n, 3, nodetest.Boot(101), inStore(store))
		began = time.Now()
		if _, err := c.publishWith(nodetest.Site(t, 4)); err != nil || time.Since(began) < leaseTime {
			t.Error(err, time.Since(began))
		}
	})
}

// Of several publishers that start at the same time at a store without conditional writes, one is allowed.
func TestOneOfManyTakesTheLease(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store, random, lock := s3test.New(t), rand.New(rand.NewPCG(1, 2)), sync.Mutex{}
		store.SetFault(func(*http.Request) s3test.Fault {
			lock.Lock()
			defer lock.Unlock()
			return s3test.Fault{IgnoreMatch: true, Delay: time.Duration(random.Int64N(int64(2 * time.Second)))}
		})
		held := 0
		var leases []*lease
		var wg sync.WaitGroup
		for i := range 5 {
			l := newLease(store.Open("p"), fmt.Sprint(i))
			leases = append(leases, l)
			wg.Go(func() {
				if l.take(context.Background()) == nil {
					lock.Lock()
					held++
					lock.Unlock()
				}
			})
		}
		wg.Wait()
		if held != 1 {
			t.Errorf("%d publishers have the lease", held)
		}
		for _, l := range leases {
			l.close()
		}
	})
}

// What others can write into the store is not trusted.
func FuzzSharedRecord(f *testing.F) {
	p := &Publication{key: testKey(0)}
	item, target := signedForTest(f, p.key, 1)
	good := &sharedRecord{Format: sharedFormat, Key: publicKey(0), Versions: []sharedVersion{{Seq: 1, Value: item.Value, Sig: item.Sig[:], By: "a", Name: "n", Size: 1, Files: 1}}}
	b, err := good.encode()
	if err != nil {
		f.Fatal(err)
	}
	if _, err := parseShared(b, target); err != nil {
		f.Fatal(err)
	}
	f.Add(b)
	f.Add(bytes.Replace(b, []byte(`"seq":1`), []byte(`"seq":2`), 1))
	f.Add([]byte(`{"format":1,"versions":[]}`))
	f.Add([]byte(`{`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := parseShared(b, target)
		if err != nil {
			return
		}
		for _, v := range r.Versions {
			if v.Seq != item.Seq || !bytes.Equal(v.Value, item.Value) {
				t.Fatal("nobody has signed this:", v)
			}
		}
		again, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseShared(again, target); err != nil {
			t.Fatal(err)
		}
	})
}

// A record that is damaged, or in which a version has another number or value than was signed, is refused.
func TestForgedRecordsAreRefused(t *testing.T) {
	item, target := signedForTest(t, testKey(0), 3)
	good := func() *sharedRecord {
		return &sharedRecord{Format: sharedFormat, Key: publicKey(0), Versions: []sharedVersion{{Seq: 3, Value: item.Value, Sig: item.Sig[:]}}}
	}
	for name, change := range map[string]func(*sharedRecord){
		"another number": func(r *sharedRecord) { r.Versions[0].Seq = 4 },
		"another value":  func(r *sharedRecord) { r.Versions[0].Value = []byte("d2:ih20:aaaaaaaaaaaaaaaaaaaae") },
		"another key":    func(r *sharedRecord) { r.Key = publicKey(1) },
		"a salt":         func(r *sharedRecord) { r.Salt = []byte("s") },
		"no signature":   func(r *sharedRecord) { r.Versions[0].Sig = nil },
		"no versions":    func(r *sharedRecord) { r.Versions = nil },
		"twice":          func(r *sharedRecord) { r.Versions = append(r.Versions, r.Versions[0]) },
		"an old format":  func(r *sharedRecord) { r.Format = 0 },
		"a new format":   func(r *sharedRecord) { r.Format = 2 },
		"a name":         func(r *sharedRecord) { r.Versions[0].Name = strings.Repeat("n", 300) },
		"a size":         func(r *sharedRecord) { r.Versions[0].Size = -1 },
	} {
		r := good()
		change(r)
		b, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := parseShared(b, target); err == nil {
			t.Errorf("with %s it is accepted", name)
		}
	}
	b, err := good().encode()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parseShared(b, target); err != nil {
		t.Error(err)
	}
	if _, err := parseShared([]byte(`{"format":2,"versions":{"none":[]}}`), target); !errors.Is(err, errNewerFormat) {
		t.Error("a newer format:", err)
	}
}

// signedForTest returns an item of a key with a number, and its target.
func signedForTest(t testing.TB, key ed25519.PrivateKey, seq int64) (dht.Item, id.ID) {
	t.Helper()
	v := mutable.Version{InfoHash: id.ID{1}, Seq: seq}
	i, err := dht.SignItem(key, nil, seq, v.Value())
	if err != nil {
		t.Fatal(err)
	}
	return i, i.Target()
}

// A publisher that has not read the record, because the store was away, does not replace it.
func TestARecordThatWasNotReadIsNotReplaced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(12, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		state, dir := t.TempDir(), nodetest.Site(t, 2)
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state), inStore(store))
		if _, err := a.publishWith(dir); err != nil {
			t.Fatal(err)
		}
		a.Node.Close()
		b := start(t, n, 2, nodetest.Boot(101), inStore(store))
		if _, err := b.publishWith(nodetest.Site(t, 3)); err != nil {
			t.Fatal(err)
		}
		store.SetDown(true)
		a = start(t, n, 3, nodetest.Boot(100), nodetest.State(state), inStore(store))
		done := make(chan error, 1)
		go func() {
			_, err := a.Publish(t.Context(), Config{Key: testKey(0), Path: dir, Overrule: true})
			done <- err
		}()
		time.Sleep(10 * time.Minute)
		store.SetDown(false)
		if err := <-done; err != nil {
			t.Fatal(err)
		}
		p := a.Open()[0]
		if r := sharedOf(t, store, p); len(r.Versions) != 3 || newest(p).Seq != 3 || len(p.Versions()) != 3 {
			t.Errorf("in the store: %+v; on record: %+v", r.Versions, p.Versions())
		}
	})
}

// While publications wait for the store, each of them can be ended, and all others are resumed, so that their items are
// republished.
func TestWaitingForTheStoreHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const pubs = resumeAtOnce + 2
		n, store := simnet.New(13, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		state := t.TempDir()
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state), inStore(store))
		for i := range byte(pubs) {
			dir := nodetest.Site(t, 1+int(i))
			if _, err := a.Publish(t.Context(), Config{Key: testKey(i), KeyName: string('a' + rune(i)), Path: dir, Options: &node.ShareOptions{Format: metainfo.V1}}); err != nil {
				t.Fatal(err)
			}
			filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		}
		a.Node.Close()
		store.SetDown(true)
		a = start(t, n, 2, nodetest.Boot(100), nodetest.State(state), inStore(store))
		reopened := a.Reopen(RestoreConfig{Key: func(name string) (ed25519.PrivateKey, error) { return testKey(name[0] - 'a'), nil }})
		var failed []error
		done := make(chan struct{})
		go func() {
			defer close(done)
			_, failed = reopened.Resume(t.Context())
		}()
		time.Sleep(3 * time.Hour) // longer than nodes keep an item
		for i := range byte(pubs) {
			if g, err := a.items.Get(t.Context(), targetOf(keyLink(testKey(i))), nil, nil); err != nil || g.Item == nil {
				t.Errorf("the item of publication %d is not republished: %v", i, err)
			}
		}
		first := a.Open()[0]
		removed := make(chan struct{})
		go func() {
			defer close(removed)
			if err := first.Remove(true); err != nil {
				t.Error(err)
			}
		}()
		nodetest.Wait(t, removed, time.Minute, "it is removed")
		store.SetDown(false)
		nodetest.Wait(t, done, 10*time.Minute, "the others are resumed")
		if list, err := List(state); err != nil || len(failed) != 0 || len(a.Open()) != pubs-1 || !list[0].Ended {
			t.Error(err, failed, len(a.Open()), list[0].Ended)
		}
		for _, p := range a.Open() {
			if newest(p).Seq != 2 {
				t.Errorf("%s: version %d", p.Describe().KeyName, newest(p).Seq)
			}
		}
	})
}

// A publisher that was killed when it had taken a number, and before the version was on record, continues with that version,
// also if it is a rollback.
func TestAPublisherContinuesWhereItWasKilled(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(14, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		state, dir := t.TempDir(), nodetest.Site(t, 2)
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state), inStore(store))
		p, err := a.publishWith(dir)
		if err != nil {
			t.Fatal(err)
		}
		record := filepath.Join(p.folder.path, "record")
		filetest.Write(t, filepath.Join(dir, "new"), []byte("new"))
		for i, publish := range []func() error{
			func() error { _, err := p.Update(t.Context()); return err },
			func() error { return p.Rollback(t.Context(), 1, false) },
		} {
			before, err := os.ReadFile(record)
			if err == nil {
				err = publish()
			}
			if err != nil {
				t.Fatal(err)
			}
			want := newest(p)
			a.Node.Close()
			filetest.Write(t, record, before)
			if err := os.Remove(p.folder.torrentPath(want.Seq)); err != nil {
				t.Fatal(err)
			}
			a = start(t, n, 2+i, nodetest.Boot(100), nodetest.State(state), inStore(store))
			if p, err = a.Publish(t.Context(), Config{Key: testKey(0)}); err != nil {
				t.Fatal(err)
			}
			got, isRollback := newest(p), i == 1
			if got.Seq != want.Seq || got.Other || p.Torrent().InfoHash().String() != want.InfoHash || p.Describe().RolledBack != isRollback {
				t.Errorf("%+v instead of %+v; the torrent is %v, rolled back: %v", got, want, p.Torrent().InfoHash(), p.Describe().RolledBack)
			}
			if p.folder.torrent(&got) == nil {
				t.Errorf("the torrent of version %d is not on disk", got.Seq)
			}
			if strings.Contains(a.Warnings(), "another machine") {
				t.Error("warned:", a.Warnings())
			}
		}
	})
}
