package node

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/dht"
	"seedbed/dht/krpc"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/netx"
	"seedbed/internal/simnet"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
)

// testKey is the key of that number.
func testKey(num byte) ed25519.PrivateKey {
	return ed25519.NewKeyFromSeed([]byte(strings.Repeat(string('a'+rune(num)), ed25519.SeedSize)))
}

func keyLink(key ed25519.PrivateKey) *magnet.Link {
	return linkOfKey([ed25519.PublicKeySize]byte(key.Public().(ed25519.PublicKey)), nil, "")
}

// site is a folder of many files to publish.
func site(t testing.TB, files int) string {
	dir := filepath.Join(t.TempDir(), "site")
	for i := range files {
		write(t, filepath.Join(dir, fmt.Sprint("d", i%3), fmt.Sprint("page ", i)), randomBytes(fmt.Sprint(i), 20_000+i))
	}
	return dir
}

func (r *rig) publish(key ed25519.PrivateKey, path string) *Publication {
	r.t.Helper()
	p, err := r.Publish(r.t.Context(), PublishConfig{Key: key, KeyName: "k", Path: path, Options: &ShareOptions{Format: metainfo.Hybrid}})
	if err != nil {
		r.t.Fatal(err)
	}
	return p
}

func (r *rig) update(p *Publication) {
	r.t.Helper()
	if changed, err := p.Update(r.t.Context()); err != nil || !changed {
		r.t.Fatal(changed, err)
	}
}

func (r *rig) follow(key ed25519.PrivateKey, dir string, opts ...func(*FollowConfig)) *Follower {
	r.t.Helper()
	cfg := FollowConfig{Link: keyLink(key), Dir: dir, Poll: time.Minute}
	for _, o := range opts {
		o(&cfg)
	}
	f, err := r.Follow(cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return f
}

// reaches waits, in fake time, until a follower is at a version.
func reaches(t testing.TB, f *Follower, seq int64, limit time.Duration) {
	t.Helper()
	for end := time.Now().Add(limit); f.Seq() < seq; time.Sleep(100 * ms) {
		if time.Now().After(end) {
			t.Fatalf("not at version %d within %v, but at %d; %+v", seq, limit, f.Seq(), f.Stats())
		}
	}
}

// warnings are those that a node told, in one string.
func (r *rig) warnings() string {
	var all []string
	for _, e := range r.told() {
		if e.Kind == Warning {
			all = append(all, e.Err.Error())
		}
	}
	return strings.Join(all, "\n")
}

// A change reaches those who follow soon after it was put, by fetching what changed,
// and a reader that resolves current once reads one version.
func TestFollowersKeepUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		ring(t, n, 8)
		dir := site(t, 40)
		a := start(t, n, 1, boot(100))
		p := a.publish(testKey(0), dir)
		e := a.await(PublishedItem, time.Minute)
		if e.Publication.Kept == 0 || e.Publication.Seq != 1 || e.Publication.Link != p.Link() {
			t.Errorf("%+v", e.Publication)
		}
		var fs []*Follower
		var dirs []string
		for i := range 3 {
			dirs = append(dirs, t.TempDir())
			fs = append(fs, start(t, n, 2+i, boot(101)).follow(testKey(0), dirs[i]))
		}
		for i, f := range fs {
			reaches(t, f, 1, 2*time.Minute)
			same(t, dir, filepath.Join(dirs[i], "current", "site"))
		}
		one := filepath.Join(dir, "d1", "page 1")
		write(t, one, randomBytes("changed", 21_000))
		a.update(p)
		for i, f := range fs {
			reaches(t, f, 2, time.Minute)
			same(t, dir, filepath.Join(dirs[i], "current", "site"))
			if got := f.Torrent().Snapshot().Downloaded; got > 2*21_000 {
				t.Errorf("%d bytes were fetched for a change of 21,000", got)
			}
			// The version before is still there, and shares what did not change.
			old, new := filepath.Join(dirs[i], "versions"), filepath.Join(dirs[i], "current", "site", "d0", "page 0")
			var infos []os.FileInfo
			entries, err := os.ReadDir(old)
			if err != nil || len(entries) != 2 {
				t.Fatal(entries, err)
			}
			for _, path := range []string{filepath.Join(old, entries[0].Name(), "site", "d0", "page 0"), new} {
				fi, err := os.Stat(path)
				if err != nil {
					t.Fatal(err)
				}
				infos = append(infos, fi)
			}
			if !os.SameFile(infos[0], infos[1]) || infos[1].Mode().Perm()&0o222 != 0 {
				t.Error("an unchanged file was not linked, or may be written to:", infos[1].Mode())
			}
		}
		// A third one: only one before the newest is kept.
		write(t, filepath.Join(dir, "new"), []byte("new"))
		a.update(p)
		for i, f := range fs {
			reaches(t, f, 3, time.Minute)
			same(t, dir, filepath.Join(dirs[i], "current", "site"))
			if entries, _ := os.ReadDir(filepath.Join(dirs[i], "versions")); len(entries) != 2 {
				t.Error(entries)
			}
		}
		// Nothing has changed: there is no next version.
		if changed, err := p.Update(t.Context()); changed || err != nil {
			t.Error(changed, err)
		}
	})
}

// Torrents of v1 alone have pieces that several files share: files that lie in right
// pieces are linked, those beside a change are copied, and what was old stays as it
// was.
func TestFollowersReuseWithoutMerkleRoots(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(9, simnet.Link{Delay: 10 * ms})
		ring(t, n, 6)
		dir, to := site(t, 60), t.TempDir() // 20 KB each, in pieces of 32 KiB
		a := start(t, n, 1, boot(100))
		p, err := a.Publish(t.Context(), PublishConfig{Key: testKey(0), KeyName: "k", Path: dir, Options: &ShareOptions{Format: metainfo.V1, PieceLength: 32 << 10}})
		if err != nil {
			t.Fatal(err)
		}
		f := start(t, n, 2, boot(101)).follow(testKey(0), to)
		reaches(t, f, 1, 2*time.Minute)
		old := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(old, os.DirFS(filepath.Join(to, "current", "site"))); err != nil {
			t.Fatal(err)
		}
		first := filepath.Join(to, "versions", versionName(1, p.state.last().InfoHash)[len("versions/"):], "site")
		write(t, filepath.Join(dir, "d1", "page 10"), randomBytes("changed", 20_010)) // as long as it was
		write(t, filepath.Join(dir, "d2", "page 20"), randomBytes("longer", 27_000))  // and all behind it moves
		a.update(p)
		reaches(t, f, 2, time.Minute)
		same(t, dir, filepath.Join(to, "current", "site"))
		same(t, old, first)
		// Two files and what shares pieces with them.
		if got := f.Torrent().Snapshot().Downloaded; got > 47_000+4*32<<10 {
			t.Errorf("%d bytes were fetched", got)
		}
		one, _ := os.Stat(filepath.Join(first, "d0", "page 0"))
		two, _ := os.Stat(filepath.Join(to, "current", "site", "d0", "page 0"))
		if !os.SameFile(one, two) {
			t.Error("an unchanged file was not linked")
		}
	})
}

// What an earlier version published under the key is published again, also when only
// followers have kept it.
func TestRollback(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(10, simnet.Link{Delay: 10 * ms})
		ring(t, n, 6)
		dir, to, st := site(t, 6), t.TempDir(), t.TempDir()
		first := filepath.Join(t.TempDir(), "first")
		if err := os.CopyFS(first, os.DirFS(dir)); err != nil {
			t.Fatal(err)
		}
		a := start(t, n, 1, boot(100), state(st))
		p := a.publish(testKey(0), dir)
		f := start(t, n, 2, boot(101)).follow(testKey(0), to)
		reaches(t, f, 1, 2*time.Minute)
		write(t, filepath.Join(dir, "d0", "page 0"), []byte("spoilt"))
		a.update(p)
		reaches(t, f, 2, time.Minute)
		a.close()
		a = start(t, n, 3, boot(100), state(st))
		var fault *Fault
		if _, err := a.Publish(t.Context(), PublishConfig{Key: testKey(0), Rollback: 7}); !errors.As(err, &fault) || fault.Kind != FaultUsage {
			t.Error(err)
		}
		p, err := a.Publish(t.Context(), PublishConfig{Key: testKey(0), Rollback: 1})
		if err != nil {
			t.Fatal(err)
		}
		if v := p.state.last(); v.Seq != 3 || v.InfoHash != p.state.file.Versions[0].InfoHash {
			t.Errorf("%+v", v)
		}
		reaches(t, f, 3, time.Minute)
		same(t, first, filepath.Join(to, "current", "site"))
		wait(t, p.Torrent().Done(), time.Minute, "the publisher has it again")
		if list, _ := Publications(st); len(list) != 1 || len(list[0].Versions) != 3 {
			t.Errorf("%+v", list)
		}
		// Taken up again it stays as it is, until the folder is published again.
		a.close()
		a = start(t, n, 4, boot(100), state(st))
		if p, err = a.Publish(t.Context(), PublishConfig{Key: testKey(0)}); err != nil {
			t.Fatal(err)
		}
		if v := p.state.last(); v.Seq != 3 {
			t.Errorf("%+v", v)
		}
		p.Close()
		a.publish(testKey(0), dir)
		reaches(t, f, 4, 2*time.Minute)
		same(t, dir, filepath.Join(to, "current", "site"))
	})
}

// Whoever was away comes back to the newest, from the same folder; and what he has is
// served although the publisher is gone.
func TestAFollowerComesBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(2, simnet.Link{Delay: 10 * ms})
		ring(t, n, 6)
		dir, to, st := site(t, 10), t.TempDir(), t.TempDir()
		a := start(t, n, 1, boot(100))
		p := a.publish(testKey(0), dir)
		b := start(t, n, 2, boot(101), state(st))
		reaches(t, b.follow(testKey(0), to), 1, 2*time.Minute)
		b.close()
		for i := range 3 {
			write(t, filepath.Join(dir, "d0", "page 0"), randomBytes("x", 100+i))
			a.update(p)
		}
		b = start(t, n, 3, boot(101), state(st))
		f := b.follow(testKey(0), to)
		reaches(t, f, 4, 2*time.Minute)
		same(t, dir, filepath.Join(to, "current", "site"))
		a.close()
		time.Sleep(time.Minute)
		c := start(t, n, 4, boot(102))
		late := t.TempDir()
		reaches(t, c.follow(testKey(0), late), 4, 2*time.Minute)
		same(t, dir, filepath.Join(late, "current", "site"))
	})
}

// The publisher is gone for good: without somebody who keeps the item alive the link
// dies two hours later, with him it lives on.
func TestKeepAliveOutlivesThePublisher(t *testing.T) {
	for _, alive := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			n := simnet.New(3, simnet.Link{Delay: 10 * ms})
			ring(t, n, 8)
			dir := site(t, 5)
			a := start(t, n, 1, boot(100))
			a.publish(testKey(0), dir)
			b := start(t, n, 2, boot(101))
			reaches(t, b.follow(testKey(0), t.TempDir(), func(c *FollowConfig) { c.KeepAlive = alive }), 1, 2*time.Minute)
			a.close()
			time.Sleep(150*time.Minute + 150*time.Minute/scale) // more than the two hours that an item lives
			c := start(t, n, 3, boot(102))
			time.Sleep(10 * time.Second)
			link, item, err := c.Resolve(t.Context(), keyLink(testKey(0)))
			if !alive {
				var f *Fault
				if !errors.As(err, &f) || f.Kind != FaultVanished {
					t.Errorf("an item that nobody keeps: %v %v", item, err)
				}
				return
			}
			if err != nil || item.Seq != 1 {
				t.Fatal(err)
			}
			to := t.TempDir()
			wait(t, c.add(Spec{Link: link, Dir: to}).Done(), time.Minute, "the download")
			same(t, dir, filepath.Join(to, "site"))
		})
	}
}

// Two machines with one key: the second is told before it signs anything, the first
// when it looks after its item.
func TestTwoPublishersWithOneKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(4, simnet.Link{Delay: 10 * ms})
		ring(t, n, 8)
		a, b := start(t, n, 1, boot(100)), start(t, n, 2, boot(101))
		pa := a.publish(testKey(0), site(t, 3))
		cfg := PublishConfig{Key: testKey(0), KeyName: "k", Path: site(t, 4), Options: &ShareOptions{Format: metainfo.Hybrid}}
		_, err := b.Publish(t.Context(), cfg)
		var f *Fault
		if !errors.As(err, &f) || f.Kind != FaultConflict || !strings.Contains(err.Error(), "version 1 of this key") {
			t.Fatal(err)
		}
		if list, _ := Publications(b.state); len(list) != 0 {
			t.Error("something was signed all the same:", list)
		}
		cfg.Overrule = true
		pb, err := b.Publish(t.Context(), cfg)
		if err != nil {
			t.Fatal(err)
		}
		if e := b.await(PublishedItem, time.Minute); e.Publication.Seq != 2 || e.Publication.Kept == 0 {
			t.Errorf("%+v", e.Publication)
		}
		time.Sleep(20 * time.Minute)
		if got := a.warnings(); !strings.Contains(got, "version 2 of this key") {
			t.Errorf("the first publisher was not told: %q", got)
		}
		// And what it would publish next is refused.
		write(t, filepath.Join(pa.state.file.Path, "more"), []byte("more"))
		if _, err = pa.Update(t.Context()); !errors.As(err, &f) || f.Kind != FaultConflict {
			t.Error(err)
		}
		if got := b.warnings(); got != "" {
			t.Errorf("the second was told: %q", got)
		}
		_ = pb
	})
}

// Both sign the same number at the same time, which nobody can keep them from: both
// are told of it later.
func TestTwoPublishersWithOneNumber(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(5, simnet.Link{Delay: 10 * ms})
		ring(t, n, 8)
		a, b := start(t, n, 1, boot(100)), start(t, n, 2, boot(101))
		errs := make(chan error, 2)
		for _, r := range []*rig{a, b} {
			path := site(t, 2+int(r.host.Addr().As4()[2]))
			go func() {
				_, err := r.Publish(t.Context(), PublishConfig{Key: testKey(0), KeyName: "k", Path: path, Options: &ShareOptions{Format: metainfo.Hybrid}})
				errs <- err
			}()
		}
		for range 2 {
			if err := <-errs; err != nil {
				t.Log("told at once:", err)
			}
		}
		time.Sleep(40 * time.Minute)
		if wa, wb := a.warnings(), b.warnings(); !strings.Contains(wa+wb, "of this key") {
			t.Errorf("nobody was told: %q %q", wa, wb)
		}
	})
}

// A number is on record before its item is put: whatever happens then, it is not
// given to another value, also where no DHT node is to be had.
func TestANumberIsGivenOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(6, simnet.Link{Delay: 10 * ms})
		dir, st := site(t, 2), t.TempDir()
		var seqs []int64
		for i := range 3 {
			write(t, filepath.Join(dir, "n"), fmt.Append(nil, i))
			a := start(t, n, 1+i, state(st))
			p := a.publish(testKey(0), dir)
			seqs = append(seqs, p.state.last().Seq)
			a.host.Crash()
			a.close()
		}
		if !slices.Equal(seqs, []int64{1, 2, 3}) {
			t.Fatal(seqs)
		}
		// A record that cannot be read is none to begin anew from.
		record := filepath.Join(st, "publications", targetOf(keyLink(testKey(0))).String(), "record")
		b, err := os.ReadFile(record)
		if err != nil {
			t.Fatal(err)
		}
		write(t, record, b[:len(b)/2])
		a := start(t, n, 9, state(st))
		var f *Fault
		if _, err := a.Publish(t.Context(), PublishConfig{Key: testKey(0), Path: dir}); !errors.As(err, &f) || f.Kind != FaultIO {
			t.Error(err)
		}
	})
}

// liar is a node of the DHT that gives to every get what give makes of it.
type liar struct {
	conn netx.PacketConn
	id   id.ID
	give func(target id.ID) []byte // bencoded entries k, seq, sig and v of a reply
	gets atomic.Int64
}

func startLiar(t testing.TB, n *simnet.Net, num int, near id.ID, give func(id.ID) []byte) *liar {
	t.Helper()
	conn, err := n.Host(addr(num)).PacketConn(DefaultPort)
	if err != nil {
		t.Fatal(err)
	}
	l := &liar{conn: conn, id: near, give: give}
	l.id[19] ^= byte(num)
	done := make(chan struct{})
	go func() { defer close(done); l.run() }()
	t.Cleanup(func() { conn.Close(); <-done })
	return l
}

func (l *liar) run() {
	ds := make([]netx.Datagram, 8)
	for i := range ds {
		ds[i].Buf = make([]byte, 2048)
	}
	for {
		n, err := l.conn.ReadBatch(ds)
		if err != nil {
			return
		}
		for _, d := range ds[:n] {
			var m krpc.Message
			if krpc.Parse(d.Buf[:d.N], &m) != nil || m.Y != 'q' {
				continue
			}
			b := append([]byte("d1:rd"), bencode.AppendBytes(bencode.AppendString(nil, "id"), l.id[:])...)
			get := string(m.Query.Name) == "get"
			var entries []byte
			if get {
				l.gets.Add(1)
				entries = l.give(m.Query.Target)
			}
			// In order of the keys: id, k, nodes, seq, sig, token, v.
			if get && entries != nil {
				b = append(b, entries...)
			} else {
				b = append(b, "5:nodes0:5:token1:x"...)
			}
			b = append(b, 'e')
			b = append(bencode.AppendBytes(bencode.AppendString(b, "t"), m.T), "1:y1:re"...)
			_ = l.conn.WriteTo(b, d.Addr)
		}
	}
}

// entries are those of a reply with an item.
func entries(i DHTItem) []byte {
	b := bencode.AppendBytes(bencode.AppendString(nil, "k"), i.Key[:])
	b = append(b, "5:nodes0:"...)
	b = bencode.AppendInt(bencode.AppendString(b, "seq"), i.Seq)
	b = bencode.AppendBytes(bencode.AppendString(b, "sig"), i.Sig[:])
	b = append(b, "5:token1:x1:v"...)
	return append(b, i.Value...)
}

// What is old, not signed, signed by another key, or names no torrent does not move a
// follower, and is counted.
func TestAFollowerRefuses(t *testing.T) {
	key, other := testKey(0), testKey(1)
	sign := func(key ed25519.PrivateKey, seq int64, v string) DHTItem {
		i, err := dht.SignItem(key, nil, seq, bencode.Value(v))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	const evil = "d2:ih20:eeeeeeeeeeeeeeeeeeeee"
	forged := sign(other, 9, evil)
	forged.Key = [ed25519.PublicKeySize]byte(key.Public().(ed25519.PublicKey))
	for _, c := range []struct {
		name string
		item DHTItem
		hit  func(FollowStats) int64
		lost bool // the key itself has signed it: the publisher is told, and there is no next version
	}{
		{"an old version, signed", sign(key, 1, evil), func(s FollowStats) int64 { return s.Older }, false},
		{"another value under the same number", sign(key, 2, evil), func(s FollowStats) int64 { return s.Older + s.Forked }, true},
		{"a newer one that is signed by another key", forged, func(s FollowStats) int64 { return s.Unsigned }, false},
		{"an item of another key", sign(other, 9, evil), func(s FollowStats) int64 { return s.Foreign }, false},
		{"a newer one that names no torrent", sign(key, 9, "d2:ih3:abce"), func(s FollowStats) int64 { return s.Useless }, true},
		{"a newer one that is no dictionary", sign(key, 9, "i1e"), func(s FollowStats) int64 { return s.Useless }, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(7, simnet.Link{Delay: 10 * ms})
				ring(t, n, 6)
				dir, to := site(t, 3), t.TempDir()
				a := start(t, n, 1, boot(100))
				p := a.publish(key, dir)
				write(t, filepath.Join(dir, "x"), []byte("x"))
				a.update(p)
				b := start(t, n, 2, boot(101))
				f := b.follow(key, to, func(c *FollowConfig) { c.Poll = 10 * time.Second })
				reaches(t, f, 2, 2*time.Minute)
				l := startLiar(t, n, 50, targetOf(keyLink(key)), func(id.ID) []byte { return entries(c.item) })
				b.dht.AddNode(netip.AddrPortFrom(addr(50), DefaultPort))
				time.Sleep(3 * time.Minute)
				if l.gets.Load() == 0 {
					t.Fatal("the liar was not asked")
				}
				if f.Seq() != 2 || c.hit(f.Stats()) == 0 {
					t.Errorf("at version %d; %+v", f.Seq(), f.Stats())
				}
				same(t, dir, filepath.Join(to, "current", "site"))
				// And the next honest one is followed.
				if c.lost {
					return
				}
				write(t, filepath.Join(dir, "y"), []byte("y"))
				if _, err := p.Update(t.Context()); err != nil {
					t.Fatal(err)
				}
				reaches(t, f, 3, time.Minute)
			})
		})
	}
}

// All that was published from a state directory goes on from one process.
func TestManyPublications(t *testing.T) {
	many, nodes := 60/scale, 12
	if os.Getenv("SEEDBED_SOAK") != "" {
		many, nodes = 2000, 40 // each of which keeps 700 items at most, as libtorrent does
	}
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(8, simnet.Link{Delay: 10 * ms})
		ring(t, n, nodes)
		st, paths := t.TempDir(), map[int]string{}
		a := start(t, n, 1, boot(100), state(st))
		for i := range many {
			paths[i] = filepath.Join(t.TempDir(), fmt.Sprint("thing ", i))
			write(t, paths[i], randomBytes(fmt.Sprint(i), 1000))
			if _, err := a.Publish(t.Context(), PublishConfig{Key: testKey(0), KeyName: "k", Salt: fmt.Append(nil, i), Path: paths[i], Options: &ShareOptions{Format: metainfo.Hybrid}}); err != nil {
				t.Fatal(err)
			}
		}
		a.close()
		list, err := Publications(st)
		if err != nil || len(list) != many {
			t.Fatal(len(list), err)
		}
		a = start(t, n, 2, boot(100), state(st))
		began := time.Now()
		for _, p := range list {
			if _, err := a.Publish(t.Context(), PublishConfig{Key: testKey(0), Salt: []byte(p.Salt)}); err != nil {
				t.Fatal(err)
			}
		}
		t.Logf("%d publications taken up again in %v of fake time", many, time.Since(began))
		time.Sleep(5 * time.Hour)
		b := start(t, n, 3, boot(101))
		time.Sleep(10 * time.Second)
		for i := range many {
			l := keyLink(testKey(0))
			l.Salt = fmt.Append(nil, i)
			if _, item, err := b.Resolve(t.Context(), l); err != nil || item.Seq != 1 {
				t.Fatalf("publication %d: %v %v", i, item.Seq, err)
			}
		}
	})
}

func FuzzPointer(f *testing.F) {
	f.Add([]byte("d2:ih20:aaaaaaaaaaaaaaaaaaaae"))
	f.Add([]byte("d2:ih3:abce"))
	f.Add([]byte("d1:x2:ih2:ih20:aaaaaaaaaaaaaaaaaaaae"))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, rest, err := bencode.Parse(b, bencode.Limits{Depth: 32})
		if err != nil || len(rest) > 0 {
			return
		}
		ih, err := parsePointer(v)
		if (err == nil) == ih.IsZero() {
			t.Errorf("%q: %v, %v", b, ih, err)
		}
	})
}

// A follower asks at a polite pace: soon after a change, and then ever less until it
// is as often as it was told.
func TestFollowersAskPolitely(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(11, simnet.Link{Delay: 10 * ms})
		ring(t, n, 6)
		dir := site(t, 2)
		a := start(t, n, 1, boot(100))
		p := a.publish(testKey(0), dir)
		f := start(t, n, 2, boot(101)).follow(testKey(0), t.TempDir(), func(c *FollowConfig) { c.Poll = 10 * time.Minute })
		reaches(t, f, 1, 2*time.Minute)
		time.Sleep(time.Hour) // until it is calm
		const calm, often = 5 * time.Hour / scale, int64(30 / scale)
		polls := func(d time.Duration) int64 {
			before := f.Stats().Polls
			time.Sleep(d)
			return f.Stats().Polls - before
		}
		if n := polls(calm); n < often-1 || n > often+1 {
			t.Errorf("%d polls in %v of calm", n, calm)
		}
		write(t, filepath.Join(dir, "x"), []byte("x"))
		a.update(p)
		reaches(t, f, 2, 11*time.Minute)
		if n := polls(10 * time.Minute); n < 3 || n > 6 {
			t.Errorf("%d polls in the 10 minutes after a change", n)
		}
		time.Sleep(time.Hour)
		if n := polls(calm); n < often-1 || n > often+1 {
			t.Errorf("%d polls in %v when it is calm again", n, calm)
		}
	})
}

// BEP 46: an item has the v1 infohash of a v1 or hybrid torrent, and else the v2 one
// cut short, which is all that a follower knows before the metadata comes.
func TestBEP46PublicationsOfEachFormat(t *testing.T) {
	for _, format := range []metainfo.Format{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		t.Run(format.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(12, simnet.Link{Delay: 10 * ms})
				ring(t, n, 6)
				dir, to := site(t, 3), t.TempDir()
				write(t, filepath.Join(dir, "of many pieces"), randomBytes("x", 400_000))
				a := start(t, n, 1, boot(100))
				p, err := a.Publish(t.Context(), PublishConfig{Key: testKey(0), Path: dir, Options: &ShareOptions{Format: format, PieceLength: 32 << 10}})
				if err != nil {
					t.Fatal(err)
				}
				info := p.Torrent().Info()
				want := info.Hash
				if format == metainfo.V2 {
					want = info.HashV2.Short()
				}
				if ih, err := parsePointer(p.state.last().Value); err != nil || ih != want {
					t.Errorf("the item has %v, not %v", ih, want)
				}
				b := start(t, n, 2, boot(101))
				f := b.follow(testKey(0), to)
				reaches(t, f, 1, 2*time.Minute)
				same(t, dir, filepath.Join(to, "current", "site"))
				write(t, filepath.Join(dir, "d0", "page 0"), randomBytes("changed", 500))
				a.update(p)
				reaches(t, f, 2, 2*time.Minute)
				same(t, dir, filepath.Join(to, "current", "site"))
			})
		})
	}
}
