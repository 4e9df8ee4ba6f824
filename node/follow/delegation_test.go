package follow

import (
	"crypto/ed25519"
	"math"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/magnet/delegation"
	"seedbed/magnet/mutable"
	"seedbed/node"
	"seedbed/node/delegate"
	"seedbed/node/publish"
)

func publicKey(key ed25519.PrivateKey) id.ID32 {
	return id.ID32(key.Public().(ed25519.PublicKey))
}

// put signs an item and stores it in the DHT.
func (r *rig) put(key ed25519.PrivateKey, seq int64, value bencode.Value) dht.Item {
	r.t.Helper()
	i, err := dht.SignItem(key, nil, seq, value)
	if err != nil {
		r.t.Fatal(err)
	}
	items, err := r.Items()
	if err != nil {
		r.t.Fatal(err)
	}
	if p, err := items.Put(r.t.Context(), i, nil); err != nil || p.Stored == 0 {
		r.t.Fatalf("stored by %d nodes: %v", p.Stored, err)
	}
	return i
}

// delegate stores the statement that keys publish until the expiry.
func (r *rig) delegate(master ed25519.PrivateKey, seq, number int64, infohash string, expiry time.Time, keys ...ed25519.PrivateKey) dht.Item {
	r.t.Helper()
	d := mutable.Delegation{Expiry: expiry.Truncate(time.Second), Number: number}
	for _, k := range keys {
		d.Keys = append(d.Keys, publicKey(k))
	}
	ih, err := id.ParseHex(infohash)
	if err != nil {
		r.t.Fatal(err)
	}
	return r.put(master, seq, (&mutable.Version{InfoHash: ih, Delegation: &d}).Value())
}

// becomes waits until a follower is at exactly a version.
func becomes(t testing.TB, f *Follower, seq int64) {
	t.Helper()
	for end := time.Now().Add(time.Hour); f.Seq() != seq; time.Sleep(time.Second) {
		if time.Now().After(end) {
			t.Fatalf("not at version %d, but at %d; %+v", seq, f.Seq(), f.Stats())
		}
	}
}

// A follower of a link that is older than the delegation follows the keys that the owner names,
// leaves a revoked key's versions, whatever their number is, and accepts nothing new once
// the delegation has expired. What it knows survives a restart, and with KeepAlive, the link works
// without the publishers.
func TestDelegatedPublication(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		master, work, thief := testKey(0), testKey(1), testKey(2)
		n := simnet.New(11, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 8)
		first, dir, evil, to := nodetest.Site(t, 3), nodetest.Site(t, 4), nodetest.Site(t, 5), t.TempDir()
		a := start(t, n, 1, nodetest.Boot(100))
		p := a.publish(master, first)
		state := t.TempDir()
		var b *rig
		follow := func() *Follower {
			b = start(t, n, 4, nodetest.Boot(102), nodetest.State(state))
			return b.follow(master, to, func(c *Config) { c.Poll, c.KeepAlive = 10*time.Second, true })
		}
		f := follow()
		becomes(t, f, 1)

		// The owner goes offline after the delegation.
		inForce := time.Now().Add(90 * 24 * time.Hour)
		old := a.delegate(master, 2, 1, newest(p).InfoHash, inForce, work, thief)
		w := start(t, n, 2, nodetest.Boot(101))
		q := w.publish(work, dir)
		filetest.Write(t, filepath.Join(dir, "x"), []byte("x"))
		w.update(q)
		becomes(t, f, 2)
		filetest.Same(t, dir, filepath.Join(to, "current", "site"))
		if d := f.Describe(); d.Signer != publicKey(work).String() || d.Delegation == nil || len(d.Delegation.Keys) != 2 {
			t.Errorf("%+v", d)
		}
		good := newest(q).InfoHash

		// Somebody has stolen one of the keys.
		c := start(t, n, 3, nodetest.Boot(103))
		stolen := c.publish(thief, evil)
		c.put(thief, math.MaxInt64, newest(stolen).Value)
		becomes(t, f, math.MaxInt64)
		filetest.Same(t, evil, filepath.Join(to, "current", "site"))
		warnings := b.Subscribe(node.Warning)
		w.delegate(master, 3, 2, good, inForce, work)
		becomes(t, f, 2)
		filetest.Same(t, dir, filepath.Join(to, "current", "site"))
		told := false
		for _, e := range warnings.Take() {
			told = told || strings.Contains(e.Err.Error(), "revoked")
		}
		warnings.Close()
		if !told {
			t.Error("nobody was told that a key was revoked")
		}
		if v := f.Versions(); len(v) != 1 {
			t.Errorf("versions of the revoked key were kept: %+v", v)
		}

		// The earlier statement does not count again, even after a restart and from a node that
		// has nothing else.
		b.Close()
		l := startLyingNode(t, n, 50, targetOf(keyLink(master)), entries(old))
		l.lies.Store(true)
		f = follow()
		time.Sleep(5 * time.Minute)
		if s := f.Stats(); f.Seq() != 2 || s.Foreign > 0 || len(f.Describe().Delegation.Keys) != 1 {
			t.Errorf("version %d; %+v", f.Seq(), s)
		}

		// Within the tolerance of clocks, versions count; later they do not, and the current one
		// is still seeded.
		w.delegate(master, 4, 2, good, time.Now().Add(30*time.Minute-delegation.Tolerance), work)
		filetest.Write(t, filepath.Join(dir, "y"), []byte("y"))
		w.update(q)
		becomes(t, f, 3)
		time.Sleep(time.Hour)
		filetest.Write(t, filepath.Join(dir, "z"), []byte("z"))
		w.update(q)
		time.Sleep(10 * time.Minute)
		if s := f.Stats(); f.Seq() != 3 || s.Expired == 0 || f.Torrent().Info() == nil {
			t.Errorf("version %d; %+v", f.Seq(), s)
		}
		w.delegate(master, 5, 2, good, inForce, work)
		becomes(t, f, 4)

		// Nobody but the follower is left.
		a.Close()
		w.Close()
		time.Sleep(150 * time.Minute)
		d := start(t, n, 5, nodetest.Boot(104))
		time.Sleep(10 * time.Second)
		if _, v, err := d.Resolve(t.Context(), keyLink(master)); err != nil || v.Number != 4 || v.Item.Key != publicKey(work) {
			t.Errorf("%+v, %v", v, err)
		}
	})
}

// A new statement reaches connected followers at once, long before they ask the DHT again.
func TestStatementsArePushed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		master, work, home := testKey(0), testKey(1), testKey(2)
		n := simnet.New(13, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 8)
		sign := func(seq int64, keys ...ed25519.PrivateKey) *delegate.Statement {
			d := mutable.Delegation{Expiry: time.Now().Add(time.Hour * 24 * 90).Truncate(time.Second)}
			for _, k := range keys {
				d.Keys = append(d.Keys, publicKey(k))
			}
			s, err := delegate.Sign(master, nil, seq, id.ID{}, d)
			if err != nil {
				t.Fatal(err)
			}
			return s
		}
		w := start(t, n, 1, nodetest.Boot(100))
		p := w.publishAs(publish.Config{Key: work, KeyName: "work", Path: nodetest.Site(t, 3), Delegation: sign(1, work, home)})
		time.Sleep(time.Minute) // the statement is put
		f := start(t, n, 2, nodetest.Boot(101)).follow(master, t.TempDir(), func(c *Config) { c.Poll = 12 * time.Hour })
		becomes(t, f, 1)
		time.Sleep(time.Minute)
		polls := f.Stats().Polls
		if err := p.Apply(t.Context(), publish.Config{Delegation: sign(2, work)}); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
		if d := f.Describe().Delegation; d == nil || len(d.Keys) != 1 || f.Seq() != 1 || f.Stats().Polls != polls {
			t.Errorf("%+v, version %d after %d polls, %d before", d, f.Seq(), f.Stats().Polls, polls)
		}
	})
}
