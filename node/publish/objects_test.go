package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/objectstore"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// Only the place of the node's store and what is below it can be published, and not privately.
func TestPlacesThatCannotBePublished(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(15, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		store.Put("p/site/a", []byte("data"))
		a, b := start(t, n, 1, inStore(store)), start(t, n, 2)
		for _, c := range []struct {
			r      *rig
			path   string
			secret bool
			says   string
		}{
			{b, "s3://bucket/p/site", false, "this node has none"},
			{a, "s3://other/p/site", false, "and below it"},
			{a, "s3://bucket", false, "and below it"},
			{a, "s3://bucket/pp/site", false, "and below it"},
			{a, "s3://bucket/p/.seedbed", false, "seedbed has for itself"},
			{a, "s3://bucket/p/.seedbed/torrents", false, "seedbed has for itself"},
			{a, "s3://bucket/p/site/.seedbed/x", false, "seedbed has for itself"},
			{a, "s3://b", false, "not the name of a bucket"},
			{a, "s3://bucket/p/site", true, "cannot be published privately"},
		} {
			_, err := c.r.Publish(t.Context(), Config{Key: testKey(0), KeyName: "k", Path: c.path, Secret: c.secret})
			var f *node.Fault
			if !errors.As(err, &f) || f.Kind != node.FaultUsage || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%s: %v", c.path, err)
			}
		}
		if _, err := a.Publish(t.Context(), Config{Key: testKey(0), KeyName: "k", Path: "s3://bucket/p/none"}); objectstore.KindOf(err) != objectstore.NotFound {
			t.Error("nothing is there:", err)
		}
	})
}

// A publication of objects waits for a store that is away when the publisher starts; meanwhile its item is put again. After that, the
// objects that have not changed are not read.
func TestAPublicationOfObjectsIsResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(16, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		store.Put("p/site/a", filetest.RandomBytes("a", 100_000))
		state := t.TempDir()
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state), nodetest.Store(t, store.Open("p")))
		if _, err := a.Publish(t.Context(), Config{Key: testKey(0), KeyName: "k", Path: "s3://bucket/p/site", Options: &node.ShareOptions{Format: metainfo.V2}}); err != nil {
			t.Fatal(err)
		}
		a.Node.Close()
		before := len(store.Requests())
		store.SetDown(true)
		a = start(t, n, 2, nodetest.Boot(100), nodetest.State(state), nodetest.Store(t, store.Open("p")))
		done := make(chan struct{})
		go func() {
			defer close(done)
			if _, failed := a.Restore(t.Context(), RestoreConfig{Key: func(string) (ed25519.PrivateKey, error) { return testKey(0), nil }}); len(failed) > 0 {
				t.Error(failed)
			}
		}()
		time.Sleep(3 * time.Hour) // longer than nodes keep an item
		if g, err := a.items.Get(t.Context(), targetOf(keyLink(testKey(0))), nil, nil); err != nil || g.Item == nil {
			t.Error("the item is not republished:", err)
		}
		store.SetDown(false)
		nodetest.Wait(t, done, 5*time.Minute, "resumed")
		if v := newest(a.Open()[0]); v.Seq != 1 {
			t.Error("version", v.Seq)
		}
		for _, r := range store.Requests()[before:] {
			if strings.Contains(r, "/site/a bytes=") && !strings.HasSuffix(r, "bytes=0-0") { // that asks whether everybody can read it
				t.Error("an object that has not changed was read:", r)
			}
		}
		a.Node.Close()
	})
}

// A request for one publication, and the watch of one, do not wait for another one that waits for the object store.
func TestPublicationsDoNotWaitForEachOther(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(17, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		state := t.TempDir()
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state), inStore(store))
		var dirs []string
		for i := range byte(2) {
			dirs = append(dirs, nodetest.Site(t, 1+int(i)))
			p, err := a.Publish(t.Context(), Config{Key: testKey(i), KeyName: string('a' + rune(i)), Path: dirs[i], Options: &node.ShareOptions{Format: metainfo.V1}})
			if err != nil {
				t.Fatal(err)
			}
			filetest.Write(t, filepath.Join(dirs[i], "second"), []byte("second"))
			if _, err := p.Update(t.Context()); err != nil {
				t.Fatal(err)
			}
		}
		a.Node.Close()
		filetest.Write(t, filepath.Join(dirs[0], "third"), []byte("third"))
		store.SetDown(true)
		a = start(t, n, 2, nodetest.Boot(100), nodetest.State(state), inStore(store))
		resumed := make(chan *Publication, 2)
		ended := make(chan struct{})
		ctx, cancel := context.WithCancel(t.Context())
		go func() {
			defer close(ended)
			a.Restore(ctx, RestoreConfig{Key: func(name string) (ed25519.PrivateKey, error) { return testKey(name[0] - 'a'), nil },
				Resumed: func(p *Publication) { resumed <- p }})
		}()
		select { // the second one has not changed, so that it does not need the store
		case p := <-resumed:
			if p.Describe().KeyName != "b" {
				t.Error(p.Describe().KeyName)
			}
		case <-time.After(5 * time.Minute):
			t.Fatal("no publication is resumed while another one waits for the store")
		}
		public := func(i byte) ed25519.PublicKey { return testKey(i).Public().(ed25519.PublicKey) }
		waits := make(chan error, 1)
		go func() {
			_, err := RequestRollback(ctx, state, public(0), nil, 1, false)
			waits <- err
		}()
		time.Sleep(10 * time.Second) // it is taken
		asked, stop := context.WithTimeout(ctx, 10*time.Minute)
		defer stop()
		if _, err := RequestRollback(asked, state, public(1), nil, 7, false); err == nil || !strings.Contains(err.Error(), "no version 7") {
			t.Error("the request for another publication is not answered:", err)
		}
		cancel()
		<-waits
		<-ended
	})
}

// A publisher that has gone back to an earlier version, and starts again without its path, keeps what another machine has published
// since then, also after several starts.
func TestARollbackDoesNotReplaceNewerVersions(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(18, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		state, dir := t.TempDir(), nodetest.Site(t, 2)
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state), inStore(store))
		p, err := a.publishWith(dir)
		if err != nil {
			t.Fatal(err)
		}
		filetest.Write(t, filepath.Join(dir, "second"), []byte("second"))
		if _, err := p.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		if err := p.Rollback(t.Context(), 1, false); err != nil {
			t.Fatal(err)
		}
		a.Node.Close()
		b := start(t, n, 2, nodetest.Boot(101), inStore(store))
		if _, err := b.publishWith(nodetest.Site(t, 3)); err != nil {
			t.Fatal(err)
		}
		for i := range 3 {
			a = start(t, n, 3+i, nodetest.Boot(100), nodetest.State(state), inStore(store))
			p, err := a.Publish(t.Context(), Config{Key: testKey(0)})
			if err != nil {
				t.Fatal(err)
			}
			if v := newest(p); v.Seq != 4 || !v.Other || !strings.Contains(a.Warnings(), "version 4 was published by another machine") {
				t.Errorf("start %d: version %d; %q", i, v.Seq, a.Warnings())
			}
			a.Node.Close()
		}
	})
}
