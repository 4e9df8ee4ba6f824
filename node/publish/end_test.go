package publish

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// one returns the only publication on record.
func one(t *testing.T, state string) Published {
	t.Helper()
	list, err := List(state)
	if err != nil || len(list) != 1 {
		t.Fatal(list, err)
	}
	return list[0]
}

// A publication that ends with its history kept is neither seeded nor put again, also after a
// restart. Publishing under its key continues its numbers.
func TestAnEndedPublicationKeepsItsHistory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		state, dir := t.TempDir(), nodetest.Site(t, 2)
		link := keyLink(testKey(0))
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state))
		p := a.publish(testKey(0), dir)
		filetest.Write(t, filepath.Join(dir, "second"), []byte("second"))
		if _, err := p.Update(t.Context()); err != nil {
			t.Fatal(err)
		}
		seeded := p.Torrent()
		if err := p.Remove(true); err != nil {
			t.Fatal(err)
		}
		nodetest.Wait(t, seeded.Ended(), time.Minute, "it is no longer seeded")
		if what := one(t, state); !what.Ended || len(what.Versions) != 2 || what.Path != dir {
			t.Errorf("on record: %+v", what)
		}
		if err := p.Remove(true); !errors.Is(err, node.ErrClosed) {
			t.Error("it ended twice:", err)
		}
		a.Node.Close()

		a = start(t, n, 2, nodetest.Boot(100), nodetest.State(state))
		keys := func(string) (ed25519.PrivateKey, error) { return testKey(0), nil }
		if pubs, failed := a.Restore(t.Context(), RestoreConfig{Key: keys}); len(pubs)+len(failed) != 0 {
			t.Error("it was resumed:", pubs, failed)
		}
		time.Sleep(4 * time.Hour) // a node keeps an item for two
		if g, err := a.items.Get(t.Context(), targetOf(link), nil, nil); err != nil || g.Item != nil {
			t.Error("its item is still put:", g.Item, err)
		}

		// The same content is the same version.
		p, err := a.Publish(t.Context(), Config{Key: testKey(0)})
		if err != nil {
			t.Fatal(err)
		}
		if what := one(t, state); what.Ended || newest(p).Seq != 2 {
			t.Errorf("published again: %+v", what)
		}
		if err := p.Remove(true); err != nil {
			t.Fatal(err)
		}
		filetest.Write(t, filepath.Join(dir, "third"), []byte("third"))
		if p = a.publish(testKey(0), dir); newest(p).Seq != 3 || len(p.Versions()) != 3 {
			t.Errorf("continued with %+v", p.Versions())
		}
		a.Node.Close()
		a = start(t, n, 3, nodetest.Boot(100), nodetest.State(state))
		if pubs, failed := a.Restore(t.Context(), RestoreConfig{Key: keys}); len(pubs) != 1 || len(failed) != 0 {
			t.Error("it was not resumed:", pubs, failed)
		}
	})
}

// Without a node, a publication on record ends in the same way, by its name.
func TestUnpublish(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		state := t.TempDir()
		a := start(t, simnet.New(1, simnet.Link{}), 1, nodetest.State(state))
		publish := func(name, salt string) Published {
			t.Helper()
			p, err := a.Publish(t.Context(), Config{Key: testKey(name[0] - 'a'), KeyName: name, Salt: []byte(salt), Path: nodetest.Site(t, 1+len(salt))})
			if err != nil {
				t.Fatal(err)
			}
			return p.Describe()
		}
		plain, salted, other := publish("a", ""), publish("a", "x"), publish("b", "yy")
		unpublish := func(name string, keepHistory bool) error {
			return Unpublish(state, name, keepHistory, func(infohash id.ID) error { return node.Forget(state, infohash) })
		}
		var f *node.Fault
		if err := unpublish("b", true); !errors.As(err, &f) || f.Kind != node.FaultConflict {
			t.Error("while a process publishes it:", err)
		}
		data := filepath.Join(state, "publications", salted.Target.String(), "data", salted.Versions[0].InfoHash)
		if err := os.MkdirAll(data, 0o755); err != nil { // as a rollback leaves it
			t.Fatal(err)
		}
		a.Node.Close()
		if err := unpublish("a", true); !errors.As(err, &f) || f.Kind != node.FaultUsage || !strings.Contains(err.Error(), salted.Target.String()[:8]) {
			t.Error("a key of two publications:", err)
		}
		for _, name := range []string{"c", "", salted.Target.String()[:3], salted.Target.String() + "0"} {
			if err := unpublish(name, true); !errors.Is(err, ErrUnknown) {
				t.Errorf("%q: %v", name, err)
			}
		}
		for range 2 { // the second time, it has ended
			if err := unpublish(strings.ToUpper(salted.Target.String()[:8]), true); err != nil {
				t.Fatal(err)
			}
		}
		if err := unpublish("b", false); err != nil {
			t.Fatal(err)
		}
		list, err := List(state)
		ended := func(p Published) bool { return p.Ended && p.Target == salted.Target }
		if err != nil || len(list) != 2 || !slices.ContainsFunc(list, ended) || slices.ContainsFunc(list, func(p Published) bool { return p.Target == other.Target }) {
			t.Error(list, err)
		}
		if left := filetest.Entries(t, filepath.Join(state, "torrents")); !slices.Equal(left, []string{plain.Versions[0].InfoHash}) {
			t.Error("left of the torrents:", left)
		}
		if _, err := os.Stat(data); err == nil {
			t.Error("the data of a rollback is left")
		}
		// What has ended can still be deleted.
		if err := unpublish(salted.Target.String(), false); err != nil {
			t.Fatal(err)
		}
		if what := one(t, state); what.Target != plain.Target {
			t.Error(what)
		}
	})
}
