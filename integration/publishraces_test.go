//go:build linux

package integration

import (
	"context"
	"crypto/ed25519"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"seedbed/dht"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/publish"
	"seedbed/swarm/s3store"
	"seedbed/swarm/storage"
)

// Two publishers take numbers of one publication in a real store.
func TestTwoPublishersOfOneStore(t *testing.T) {
	need(t)
	ctx := timeLimit(t)
	o := startObjectStore(ctx, t, "10.20.5.1")
	o.racePublishers(ctx, t, "10.20.6", 20)
}

// racer is one of several publishers that share a key and a store.
type racer struct {
	*publish.Publication
	page string // a file that it publishes
}

// racePublishers has two publishers publish under one key at the same time, again and again. Their addresses begin with those of a
// network. Every version has a number of its own, and is in the record of the store.
func (o *objectStore) racePublishers(ctx context.Context, t *testing.T, network string, rounds int) {
	key := ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))
	began := time.Now()
	var racers [2]racer
	for k := range racers {
		racers[k] = o.startRacer(ctx, t, net.JoinHostPort(fmt.Sprint(network, ".", k+1), "7979"), net.JoinHostPort(network+".1", "7979"), key)
	}
	published := map[int64]string{} // infohashes by number
	for round := range rounds {
		var errs [2]error
		var wg sync.WaitGroup
		for k, r := range racers {
			must(t, os.WriteFile(r.page, fmt.Appendf(nil, "%d of %d", round, k), 0o644))
			wg.Go(func() { _, errs[k] = r.Update(ctx) })
		}
		wg.Wait()
		for k, r := range racers {
			must(t, errs[k])
			got := r.Outcome()
			if was, isTaken := published[got.Seq]; isTaken || got.IsUnchanged {
				t.Fatalf("round %d: publisher %d has version %d with %v, unchanged %v, and the other one %s", round, k, got.Seq, got.InfoHash, got.IsUnchanged, was)
			}
			published[got.Seq] = got.InfoHash.String()
		}
	}
	// The first number was that of what both had published at their start.
	for seq := int64(2); seq < int64(2+2*rounds); seq++ {
		if published[seq] == "" {
			t.Errorf("nobody has published version %d", seq)
		}
	}
	var record struct{ Versions []struct{ Seq int64 } }
	target := dht.ItemTarget(id32(key), nil)
	b, _, err := o.open("site/").Load(ctx, objectstore.OwnFolder+"/publications/"+target.String(), 1<<20)
	must(t, err)
	must(t, json.Unmarshal(b, &record))
	last := int64(2 * rounds)
	for k, v := range record.Versions {
		if want := last + 1 - int64(len(record.Versions)-1-k); v.Seq != want {
			t.Errorf("the record has version %d in place of %d", v.Seq, want)
		}
	}
	for k, r := range racers {
		for _, v := range r.Versions() {
			if want := published[v.Seq]; want != "" && v.InfoHash != want {
				t.Errorf("a fork: version %d is %s for publisher %d, and %s was published", v.Seq, v.InfoHash, k, want)
			}
		}
	}
	t.Logf("battery: %d races of two publishers over an object store: %d versions, each with a number of its own, of which none is lost, in %.0f s",
		rounds, len(published), time.Since(began).Seconds())
}

// id32 returns the public key of a private one.
func id32(key ed25519.PrivateKey) [32]byte { return [32]byte(key.Public().(ed25519.PublicKey)) }

// startRacer starts a node in this process that publishes a folder of its own.
func (o *objectStore) startRacer(ctx context.Context, t *testing.T, listen, entry string, key ed25519.PrivateKey) racer {
	t.Helper()
	entries := []string{entry}
	if entry == listen {
		entries = []string{}
	}
	cache, err := s3store.OpenCache(t.TempDir(), s3store.MinCache, storage.NewHandles(0))
	must(t, err)
	t.Cleanup(func() { _ = cache.Close() })
	n, err := node.Open(node.Config{State: t.TempDir(), Listen: listen, Bootstrap: entries,
		Objects: &node.Objects{Store: o.open("site/"), Shared: s3store.NewShared(cache)}})
	must(t, err)
	t.Cleanup(func() { _ = n.Close(context.Background()) })
	p, err := publish.New(n)
	must(t, err)
	dir := folderOf(t, "both")
	publication, err := p.Publish(ctx, publish.Config{Key: key, KeyName: "site", Path: dir, Options: &node.ShareOptions{Format: metainfo.V1}})
	must(t, err)
	return racer{publication, filepath.Join(dir, "page")}
}
