package publish

import (
	"bytes"
	"os"
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

// What is published can be at any depth below the place of the node's store, and another folder of its name does not matter. A reader
// gets the files from the publisher.
func TestPublishingAtAnyDepth(t *testing.T) {
	for _, at := range []string{"p", "p/site", "p/a/b/site", "p/site/site/site"} {
		synctest.Test(t, func(t *testing.T) {
			n, store := simnet.New(41, simnet.Link{Delay: 10 * ms}), s3test.New(t)
			nodetest.Ring(t, n, 8)
			want := filetest.RandomBytes(at, 100_000)
			store.Put(at+"/index", want)
			store.Put(at+"/more", want[:1000])
			store.Put("p/site/index", want) // also of a folder that is not published
			store.Put("p/site/site/index", []byte("another size"))
			a := start(t, n, 1, nodetest.Boot(100), nodetest.Store(t, store.Open("p")))
			defer a.Node.Close()
			p, err := a.publishWith("s3://bucket/" + at)
			if err != nil {
				t.Fatal(at, err)
			}
			b := start(t, n, 2, nodetest.Boot(101))
			dir := t.TempDir()
			got, err := b.Add(node.Spec{Torrent: &metainfo.Torrent{Info: p.Torrent().Info()}, Dir: dir})
			if err != nil {
				t.Fatal(err)
			}
			nodetest.Wait(t, got.Done(), 5*time.Minute, at)
			for name, want := range map[string][]byte{"index": want, "more": want[:1000]} {
				if b, err := os.ReadFile(filepath.Join(dir, p.Torrent().Info().Name, name)); err != nil || !bytes.Equal(b, want) {
					t.Errorf("%s: %s differs: %v", at, name, err)
				}
			}
			if got := a.Warnings(); got != "" {
				t.Errorf("%s: warned: %s", at, got)
			}
		})
	}
}

// If everybody can read what is published, the store is a web seed in the link and in the torrent: not if the user does not want it, not
// if others cannot read the objects, and never at a private address, which is reported once.
func TestThePublicStoreIsAWebSeed(t *testing.T) {
	const public = "ws=http%3A%2F%2Fstore.test%2Fbucket%2Fp%2F"
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(43, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		store.Put("p/site/index", filetest.RandomBytes("index", 100_000))
		a := start(t, n, 1, nodetest.Boot(100), nodetest.Store(t, store.Open("p")))
		defer a.Node.Close()
		p, err := a.publishWith("s3://bucket/p/site")
		if err != nil {
			t.Fatal(err)
		}
		hasSeed := func(want bool, when string) {
			t.Helper()
			if strings.Contains(p.Link(), public) != want || strings.Contains(p.Outcome().Link, public) != want {
				t.Errorf("%s: %s, %s", when, p.Link(), p.Outcome().Link)
			}
		}
		hasSeed(true, "public")
		if v := newest(p); len(p.folder.torrent(&v).WebSeeds) != 1 {
			t.Error(p.folder.torrent(&v).WebSeeds)
		}
		for _, c := range []struct {
			seeds []string
			want  bool
		}{{[]string{}, false}, {nil, false}, {[]string{"http://mirror.test/"}, true}, {nil, true}} {
			if err := p.Apply(t.Context(), Config{WebSeeds: c.seeds}); err != nil {
				t.Fatal(err)
			}
			hasSeed(c.want, strings.Join(c.seeds, " "))
		}
		if !strings.Contains(p.Link(), "mirror.test") {
			t.Error("the mirror of the user is gone:", p.Link())
		}
		if got := a.Warnings(); got != "" {
			t.Error("warned:", got)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(44, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		store.Put("p/site/index", filetest.RandomBytes("index", 100_000))
		at, err := objectstore.ParseLocation("s3://bucket/p")
		if err != nil {
			t.Fatal(err)
		}
		local, err := objectstore.Open(objectstore.Config{At: at, Endpoint: "http://192.168.0.7", Region: "us-east-1", Anonymous: true, Dial: store.Dial})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(local.Close)
		a := start(t, n, 1, nodetest.Boot(100), nodetest.Store(t, local))
		defer a.Node.Close()
		p, err := a.publishWith("s3://bucket/p/site")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := p.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		if warned := len(a.Events(node.Warning)); strings.Contains(p.Link(), "ws=") || warned != 1 || !strings.Contains(a.Warnings(), "address of the store is private") {
			t.Errorf("%s; %d warnings: %s", p.Link(), warned, a.Warnings())
		}
	})
}
