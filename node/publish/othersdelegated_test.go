package publish

import (
	"crypto/ed25519"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/internal/simnet"
)

// A delegated publication stays alive while its publisher and the owner of the link are off: another node with the store republishes
// the owner's statement too, without which nobody who has the link finds the versions. That includes a newer statement, which the
// publisher got without a new version.
func TestADelegatedPublicationIsKeptAlive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		master, work := testKey(0), testKey(1)
		n, store := simnet.New(23, simnet.Link{Delay: 10 * ms}), s3test.New(t)
		nodetest.Ring(t, n, 8)
		start(t, n, 2, nodetest.Boot(101), inStore(store))
		w := start(t, n, 3, nodetest.Boot(100), inStore(store))
		before := Version{InfoHash: id.ID{}.String()} // nothing has been published
		first := delegated(t, 1, before, 2*time.Hour, work)
		p, err := w.Publish(t.Context(), Config{Key: work, KeyName: "work", Path: nodetest.Site(t, 3), Delegation: first})
		if err != nil {
			t.Fatal(err)
		}
		statementIs := func(seq int64) {
			t.Helper()
			if r := sharedOf(t, store, p); r == nil || r.statement == nil || r.statement.Item.Seq != seq || len(r.Versions) != 1 {
				t.Errorf("the record in the store is %+v, want one with statement %d", r, seq)
			}
		}
		statementIs(1)
		renewed := delegated(t, 2, before, 30*24*time.Hour, work)
		if err := p.Apply(t.Context(), Config{Delegation: renewed}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Minute)
		statementIs(2)
		w.Node.Close()
		time.Sleep(6 * time.Hour) // longer than nodes keep items, and than the first statement holds

		reader := start(t, n, 4, nodetest.Boot(105))
		_, v, err := reader.Resolve(t.Context(), keyLink(master))
		if err != nil || v.Number != newest(p).Seq || v.Item.Key != id.ID32(work.Public().(ed25519.PublicKey)) {
			t.Errorf("a reader finds version %d, signed by %v (%v), want %d", v.Number, v.Item.Key, err, newest(p).Seq)
		}
	})
}

// A statement in a record of the store counts only if its owner has signed it, and if it lets the key of the record publish.
func TestStatementsOfRecords(t *testing.T) {
	work, salt := testKey(1), []byte(nil)
	before := Version{InfoHash: id.ID{}.String()}
	r := recordOf(t, work, salt, 1)
	if r.setStatement(delegated(t, 1, before, time.Hour, testKey(2))) {
		t.Error("a statement about another key was recorded")
	}
	newer, older := delegated(t, 3, before, time.Hour, work), delegated(t, 2, before, time.Hour, work)
	if !r.setStatement(newer) || r.setStatement(newer) || r.setStatement(older) {
		t.Error("not the newest statement was recorded")
	}
	item := r.item()
	parse := func(text string) error {
		r.Statement = text
		b, err := r.encode()
		if err != nil {
			t.Fatal(err)
		}
		_, err = parseShared(b, item.Target())
		return err
	}
	if err := parse(r.Statement); err != nil {
		t.Error(err)
	}
	forged := []byte(r.Statement)
	forged[len(forged)-3] ^= 1
	for _, text := range []string{"x", string(forged), string(delegated(t, 4, before, time.Hour, testKey(2)).Append(nil))} {
		if parse(text) == nil {
			t.Errorf("%.20q is taken for a statement", text)
		}
	}
}
