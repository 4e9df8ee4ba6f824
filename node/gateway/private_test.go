package gateway

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"io"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/magnet/mutable"
	"seedbed/node/publish"
)

// A private publication is served, decrypted, if the gateway has its link to read. Without it, the
// answer says what is missing. The address has no secret.
func TestPrivatePublications(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * time.Millisecond})
		nodetest.Ring(t, n, 8)
		dir := nodetest.Site(t, 3)
		page := filetest.RandomBytes("page", 100_000)
		filetest.Write(t, filepath.Join(dir, "index.html"), page)
		publisher := nodetest.Start(t, n, 1, nodetest.Boot(100))
		p, err := publish.New(publisher.Node)
		if err != nil {
			t.Fatal(err)
		}
		key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
		pub, err := p.Publish(t.Context(), publish.Config{Key: key, KeyName: "k", Path: dir, Secret: true})
		if err != nil {
			t.Fatal(err)
		}
		link, err := magnet.Parse(pub.Link())
		if err != nil {
			t.Fatal(err)
		}
		address := AddressOf(link)
		if host := address.Host("localhost"); strings.Contains(host, link.Secret.Text()[1:20]) {
			t.Errorf("the address shows the secret: %s", host)
		}
		private := []*magnet.Link{link}
		library := func(num int, private func() []*magnet.Link) *Library {
			l, err := OpenLibrary(Config{Node: nodetest.Start(t, n, num, nodetest.Boot(101)).Node, Dir: t.TempDir(), Private: private})
			if err != nil {
				t.Fatal(err)
			}
			return l
		}
		reader := library(2, func() []*magnet.Link { return private })
		v, done, err := reader.Newest(t.Context(), address, client)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		f, err := v.Tree.Open(t.Context(), "index.html")
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if got, err := io.ReadAll(f); err != nil || !bytes.Equal(got, page) || v.Tree.Name() != "site" || !v.IsPrivate {
			t.Errorf("%d bytes of %s, %v", len(got), v.Tree.Name(), err)
		}
		var failure *Failure
		if _, _, err := library(3, nil).Newest(t.Context(), address, client); !errors.As(err, &failure) || failure.Code != http.StatusForbidden {
			t.Errorf("without the link: %v", err)
		}

		// Another publication that names the same torrent has only the ciphertext.
		thief := ed25519.NewKeyFromSeed([]byte("the same torrent under a new key"[:ed25519.SeedSize]))
		items, err := publisher.Items()
		if err != nil {
			t.Fatal(err)
		}
		item, err := dht.SignItem(thief, nil, 1, (&mutable.Version{InfoHash: v.InfoHash}).Value())
		if err != nil {
			t.Fatal(err)
		}
		if _, err := items.Put(t.Context(), item, nil); err != nil {
			t.Fatal(err)
		}
		w, done, err := reader.Newest(t.Context(), Address{Key: id.ID32(thief.Public().(ed25519.PublicKey))}, client)
		if err != nil {
			t.Fatal(err)
		}
		defer done()
		if _, ok := w.Tree.Lookup("index.html"); ok || w.InfoHash != v.InfoHash || w.IsPrivate {
			t.Error("another publication shows the decrypted files")
		}

		// When the link is taken away, nothing is served any more.
		private = nil
		if _, _, err := reader.Newest(t.Context(), address, client); !errors.As(err, &failure) {
			t.Errorf("after the link was taken away: %v", err)
		}

		// Nor if a peer pushes an item before the next request.
		private = []*magnet.Link{link}
		time.Sleep(time.Minute)
		if _, done, err = reader.Newest(t.Context(), address, client); err != nil {
			t.Fatal(err)
		}
		done()
		time.Sleep(time.Minute)
		synctest.Wait()
		private = nil
		if item, err = dht.SignItem(key, nil, 99, (&mutable.Version{InfoHash: v.InfoHash}).Value()); err != nil {
			t.Fatal(err)
		}
		reader.mu.Lock()
		s, _ := reader.sites.Get(address)
		reader.mu.Unlock()
		s.queue.Put(item)
		time.Sleep(time.Minute)
		if v, _, err := reader.Newest(t.Context(), address, client); !errors.As(err, &failure) {
			t.Errorf("after the link was taken away and an item was pushed: %+v, %v", v, err)
		}
	})
}
