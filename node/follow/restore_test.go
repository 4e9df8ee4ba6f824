package follow

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/nodetest"
	"seedbed/internal/simnet"
	"seedbed/internal/statefile"
	"seedbed/node"
)

// If the torrent of the current version cannot be added at the start, it is seeded later.
func TestSeedingTheCurrentVersionIsRetried(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(2, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		a := start(t, n, 1, nodetest.Boot(100))
		a.publish(testKey(0), nodetest.Site(t, 3))
		state, to := t.TempDir(), t.TempDir()
		b := start(t, n, 2, nodetest.Boot(101), nodetest.State(state))
		f := b.follow(testKey(0), to)
		reaches(t, f, 1, time.Minute)
		current := f.Torrent().InfoHash()
		b.Close()
		lock, err := statefile.TryLock(filepath.Join(state, "torrents", current.String(), "lock")) // another process
		if err != nil {
			t.Fatal(err)
		}
		b = start(t, n, 3, nodetest.Boot(101), nodetest.State(state))
		f = b.follow(testKey(0), to)
		time.Sleep(5 * time.Minute)
		if f.Torrent() != nil || len(b.Events(node.Warning)) != 1 {
			t.Errorf("%v, warnings: %s", f.Torrent(), b.Warnings())
		}
		if err := lock.Release(); err != nil {
			t.Fatal(err)
		}
		nodetest.Until(t, 3*time.Minute, "it is seeded", func() bool { return f.Torrent() != nil })
		nodetest.Wait(t, f.Torrent().Done(), time.Minute, "it is complete")
		if got := f.Torrent().Snapshot().Downloaded; got != 0 {
			t.Errorf("%d bytes were downloaded again", got)
		}
	})
}

// Every recorded publication is followed again, in the same folder and with the same
// settings. A damaged record and one without a link each affect one publication only.
func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		a := start(t, n, 1, nodetest.Boot(100))
		state, to := t.TempDir(), t.TempDir()
		b := start(t, n, 2, nodetest.Boot(101), nodetest.State(state))
		var dirs []string
		settings := func(c *Config) {
			c.Keep, c.KeepAlive, c.Peers, c.Poll = 3, true, []string{"192.0.2.1:1"}, 2*time.Minute
		}
		for i := range byte(4) {
			dirs = append(dirs, nodetest.Site(t, 1+int(i)))
			a.publish(testKey(i), dirs[i])
			f := b.follow(testKey(i), filepath.Join(to, string('a'+rune(i))), settings)
			if i != 3 { // the last one has no version yet
				reaches(t, f, 1, 2*time.Minute)
			}
		}
		b.Close()
		record := func(i byte) string {
			return filepath.Join(state, "follows", targetOf(keyLink(testKey(i))).String(), "record")
		}
		filetest.Write(t, record(1), []byte("{"))
		filetest.Write(t, record(2), []byte(`{"seq":1,"infohash":"x","folder":"versions/1-01234567"}`))

		b = start(t, n, 3, nodetest.Boot(101), nodetest.State(state))
		list, err := List(state)
		if len(list) != 2 || err == nil {
			t.Fatal(list, err)
		}
		for _, one := range list {
			if c := one.Config; c.Keep != 3 || !c.KeepAlive || len(c.Peers) != 1 || c.Poll != 2*time.Minute {
				t.Errorf("%+v", c)
			}
		}
		followers, failed := Restore(b.Node.Node)
		if len(followers) != 2 || len(failed) != 2 {
			t.Fatal(len(followers), failed)
		}
		for _, err := range failed {
			var damaged *node.DamagedError
			var f *node.Fault
			if !errors.As(err, &damaged) || !errors.As(err, &f) || f.Kind != node.FaultIO {
				t.Error(err)
			}
		}
		if !errors.Is(errors.Join(failed...), errNoLink) {
			t.Error("the record without a link:", failed)
		}
		for _, f := range followers {
			reaches(t, f, 1, 5*time.Minute)
		}
		for _, i := range []int{0, 3} {
			filetest.Same(t, dirs[i], filepath.Join(to, string('a'+rune(i)), "current", "site"))
		}
		// A second follower of one publication in the same state directory is refused.
		_, err = Start(b.Node.Node, Config{Link: keyLink(testKey(0)), Dir: t.TempDir()})
		if err == nil || !strings.Contains(err.Error(), "is following this") {
			t.Error(err)
		}
	})
}
