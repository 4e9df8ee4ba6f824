package publish

import (
	"bytes"
	"crypto/ed25519"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

// recordOf returns a record of one version.
func recordOf(t testing.TB, key ed25519.PrivateKey, salt []byte, seq int64) *sharedRecord {
	t.Helper()
	i, err := dht.SignItem(key, salt, seq, (&mutable.Version{InfoHash: id.ID{1}}).Value())
	if err != nil {
		t.Fatal(err)
	}
	return &sharedRecord{Format: sharedFormat, Key: id.ID32(i.Key).String(), Salt: salt, Versions: []sharedVersion{{Seq: seq, Value: i.Value, Sig: i.Sig[:]}}}
}

// putRecord writes a record, and returns the target of its item.
func putRecord(t testing.TB, s *s3test.Store, r *sharedRecord) id.ID {
	t.Helper()
	b, err := r.encode()
	if err != nil {
		t.Fatal(err)
	}
	item := r.item()
	target := item.Target()
	s.Put("p/"+publicationsPrefix+target.String(), b)
	return target
}

// requestsSince counts the requests for records since a time.
func requestsSince(s *s3test.Store, before int) (reads, lists int) {
	for _, r := range s.Requests()[before:] {
		switch {
		case strings.Contains(r, publicationsPrefix):
			reads++
		case strings.HasPrefix(r, "GET /"+s3test.Bucket+"/ "):
			lists++
		}
	}
	return reads, lists
}

// What others put among the records costs a warning each, at most ten, and requests only once. Records that are right are
// republished nevertheless, and one that is damaged later goes on being republished as it was.
func TestHostileRecords(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(29, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		good := putRecord(t, store, recordOf(t, testKey(0), []byte("good"), 1))
		const bad = 40
		for i := range byte(bad) {
			target := id.ID{i, 1}
			content := [][]byte{
				bytes.Repeat([]byte{' '}, maxSharedSize+1),
				store.Get("p/" + publicationsPrefix + good.String()), // of another publication
				[]byte(`{"format":1,"versions":[]}`),
				bytes.Repeat([]byte("["), maxSharedSize),
				nil,
			}[i%5]
			store.Put("p/"+publicationsPrefix+target.String(), content)
		}
		for _, name := range []string{"x", strings.ToUpper(good.String()), good.String() + "/" + good.String(), "\u202e\u00e9/..", strings.Repeat("0", 900)} {
			store.Put("p/"+publicationsPrefix+name, []byte("x"))
		}
		b := start(t, n, 2, inStore(store))
		time.Sleep(time.Minute)
		if b.items.Kept() != 1 {
			t.Errorf("%d items are republished", b.items.Kept())
		}
		if warned := len(b.Events(node.Warning)); warned != maxOthersWarned+2 { // the rest, and objects that are no records
			t.Errorf("%d warnings: %s", warned, b.Warnings())
		}
		if reads, _ := requestsSince(store, 0); reads > 2*(bad+1) {
			t.Errorf("%d requests for %d records", reads, bad+1)
		}

		store.Put("p/"+publicationsPrefix+good.String(), []byte("damaged"))
		before := len(store.Requests())
		time.Sleep(24 * time.Hour)
		reads, lists := requestsSince(store, before)
		if reads != 2 || lists != int(24*time.Hour/othersEvery) {
			t.Errorf("%d requests for records, and %d listings in a day", reads, lists)
		}
		if warned := len(b.Events(node.Warning)); warned != maxOthersWarned+3 || b.items.Kept() != 1 {
			t.Errorf("%d warnings, %d items are republished: %s", warned, b.items.Kept(), b.Warnings())
		}
	})
}

// A node republishes at most maxOthers items of others, says so once, and takes another one when one of them is gone.
func TestManyOtherPublications(t *testing.T) {
	if scale > 1 {
		t.Skip("too slow with the race detector")
	}
	synctest.Test(t, func(t *testing.T) {
		n, store := simnet.New(31, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		var targets []id.ID
		for i := range maxOthers + 2 {
			targets = append(targets, putRecord(t, store, recordOf(t, testKey(0), fmt.Appendf(nil, "%d", i), 1)))
		}
		b := start(t, n, 2, inStore(store))
		time.Sleep(10 * time.Minute)
		if b.items.Kept() != maxOthers {
			t.Errorf("%d items are republished, want %d", b.items.Kept(), maxOthers)
		}
		for range 2 {
			for _, target := range targets[:2] {
				store.Remove("p/" + publicationsPrefix + target.String())
			}
			time.Sleep(2*othersEvery + time.Minute)
			if b.items.Kept() != maxOthers {
				t.Errorf("%d items are republished after two others are gone, want %d", b.items.Kept(), maxOthers)
			}
		}
		if warned := len(b.Events(node.Warning)); warned != 1 {
			t.Errorf("%d warnings: %s", warned, b.Warnings())
		}
	})
}

// The items of others are put at the rate of the node's own ones, a fifth of its queries, also if there are so many that the share is
// used up. It is enough for as many as there can be: DHT nodes keep items for two hours. The test has a fiftieth of both.
func TestTheRateOfOtherItems(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const part = 50
		n, store := simnet.New(37, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		var targets []id.ID
		for i := range maxOthers / part {
			targets = append(targets, putRecord(t, store, recordOf(t, testKey(0), fmt.Appendf(nil, "%d", i), 1)))
		}
		b := start(t, n, 2, nodetest.Boot(101), inStore(store), func(c *node.Config) { c.DHTRate = node.DefaultDHTRate / part })
		const hours = 4
		time.Sleep(hours * time.Hour)
		reader := start(t, n, 3, nodetest.Boot(102))
		gone := 0
		for i, target := range targets {
			if g, err := reader.items.Get(t.Context(), target, fmt.Appendf(nil, "%d", i), nil); err != nil || g.Item == nil {
				gone++
			}
		}
		if gone > 0 {
			t.Errorf("%d of %d items are gone", gone, len(targets))
		}
		d, err := b.DHT()
		if err != nil {
			t.Fatal(err)
		}
		sent, share := float64(d.Stats().V4.Out), 0.2*node.DefaultDHTRate/part*3600*hours
		if sent > share {
			t.Errorf("%.0f queries were sent, and the share is %.0f", sent, share)
		}
		t.Logf("%.0f queries, share %.0f", sent, share)
	})
}
