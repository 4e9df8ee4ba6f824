package publish

import (
	"crypto/ed25519"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/magnet/mutable"
	"seedbed/node"
	"seedbed/node/delegate"
)

// delegated returns a statement of key 0 that keys publish for some time.
func delegated(t *testing.T, seq int64, after Version, lasts time.Duration, keys ...ed25519.PrivateKey) *delegate.Statement {
	t.Helper()
	ih, err := id.ParseHex(after.InfoHash)
	if err != nil {
		t.Fatal(err)
	}
	d := mutable.Delegation{Expiry: time.Now().Add(lasts).Truncate(time.Second), Number: after.Seq}
	for _, k := range keys {
		d.Keys = append(d.Keys, id.ID32(k.Public().(ed25519.PublicKey)))
	}
	s, err := delegate.Sign(testKey(0), nil, seq, ih, d)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// fails checks the kind of an error.
func fails(t *testing.T, err error, kind node.FaultKind) {
	t.Helper()
	var f *node.Fault
	if !errors.As(err, &f) || f.Kind != kind {
		t.Errorf("%v, want a fault of the kind %v", err, kind)
	}
}

// Two machines publish under one link, each with its own key, while its owner is offline. Numbers
// continue, a version of the other machine is not overwritten unawares, a revoked key cannot publish,
// and the owner's own versions keep the delegation.
func TestDelegation(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		master, work, home := testKey(0), testKey(1), testKey(2)
		n := simnet.New(12, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 8)
		reader := start(t, n, 9, nodetest.Boot(105))
		newestIs := func(number int64, key ed25519.PrivateKey) {
			t.Helper()
			_, v, err := reader.Resolve(t.Context(), keyLink(master))
			if err != nil || v.Number != number || v.Item.Key != id.ID32(key.Public().(ed25519.PublicKey)) {
				t.Fatalf("the newest version is %d, signed by %v (%v), want %d", v.Number, v.Item.Key, err, number)
			}
		}
		stateA, stateW := t.TempDir(), t.TempDir()
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(stateA))
		site := nodetest.Site(t, 3)
		first := newest(a.publish(master, site))
		a.Node.Close()

		// Nothing but the file passes between the machines.
		s, err := delegate.Parse(delegated(t, 2, first, 90*24*time.Hour, work, home).Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		w := start(t, n, 2, nodetest.Boot(101), nodetest.State(stateW))
		dirW, dirH := nodetest.Site(t, 4), nodetest.Site(t, 5)
		_, err = w.Publish(t.Context(), Config{Key: testKey(3), KeyName: "x", Path: dirW, Delegation: s})
		fails(t, err, node.FaultUsage) // the statement does not name it
		_, err = w.Publish(t.Context(), Config{Key: work, KeyName: "work", Salt: []byte("s"), Path: dirW, Delegation: s})
		fails(t, err, node.FaultUsage)
		p, err := w.Publish(t.Context(), Config{Key: work, KeyName: "work", Path: dirW, Delegation: s})
		if err != nil {
			t.Fatal(err)
		}
		if l := keyLink(master); p.Outcome().Seq != 2 || p.Describe().Master != l.PublicKey.String() || p.Outcome().Link != mutable.Link(l.PublicKey, nil, "site").String() {
			t.Errorf("%+v", p.Outcome())
		}
		time.Sleep(time.Minute) // the statement is put
		newestIs(2, work)

		h := start(t, n, 3, nodetest.Boot(102))
		q, err := h.Publish(t.Context(), Config{Key: home, KeyName: "home", Path: dirH, Delegation: s})
		if err != nil {
			t.Fatal(err)
		}
		newestIs(3, home)
		filetest.Write(t, filepath.Join(dirW, "x"), []byte("x"))
		_, err = p.Update(t.Context())
		fails(t, err, node.FaultConflict)
		if err := p.Apply(t.Context(), Config{Overrule: true}); err != nil {
			t.Fatal(err)
		}
		newestIs(4, work)

		// A restart needs the file no more.
		w.Node.Close()
		w = start(t, n, 2, nodetest.Boot(101), nodetest.State(stateW))
		pubs, failed := w.Restore(t.Context(), RestoreConfig{Key: func(string) (ed25519.PrivateKey, error) { return work, nil }})
		if len(pubs) != 1 || len(failed) > 0 || pubs[0].Outcome().Seq != 4 || pubs[0].Link() != p.Link() {
			t.Fatal(pubs, failed)
		}
		p = pubs[0]

		// The owner revokes one of the keys. The new file is given to the other machine only, and
		// reaches the first one through the DHT.
		revoked := delegated(t, 3, newest(p), 10*24*time.Hour, home)
		warnings := h.Node.Subscribe(node.Warning)
		if err := q.Apply(t.Context(), Config{Delegation: revoked, Overrule: true}); err != nil {
			t.Fatal(err)
		}
		if e := warnings.Take(); len(e) != 1 {
			t.Errorf("%d warnings about a delegation that expires in ten days: %v", len(e), e)
		}
		warnings.Close()
		time.Sleep(time.Minute)
		newestIs(5, home)
		filetest.Write(t, filepath.Join(dirW, "y"), []byte("y"))
		_, err = p.Update(t.Context())
		fails(t, err, node.FaultPermission)
		err = p.Apply(t.Context(), Config{Delegation: s})
		fails(t, err, node.FaultConflict) // the earlier statement does not count again

		// The owner publishes too: that renews the statement, and uses no number twice.
		if err := delegate.Open(stateA).Save(revoked); err != nil {
			t.Fatal(err)
		}
		a = start(t, n, 1, nodetest.Boot(100), nodetest.State(stateA))
		filetest.Write(t, filepath.Join(site, "z"), []byte("z"))
		_, err = a.Publish(t.Context(), Config{Key: master, KeyName: "k", Path: site})
		fails(t, err, node.FaultConflict)
		if _, err = a.Publish(t.Context(), Config{Key: master, KeyName: "k", Path: site, Overrule: true}); err != nil {
			t.Fatal(err)
		}
		newestIs(6, master)
		if err := q.Apply(t.Context(), Config{Overrule: true}); err != nil {
			t.Fatal(err)
		}
		newestIs(7, home)

		// After the expiry, nothing new can be published.
		if err := q.Apply(t.Context(), Config{Delegation: delegated(t, 7, newest(q), time.Minute, home)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Minute)
		filetest.Write(t, filepath.Join(dirH, "z"), []byte("z"))
		_, err = q.Update(t.Context())
		fails(t, err, node.FaultPermission)
	})
}
