package publish

import (
	"crypto/ed25519"
	"errors"
	"os"
	"path/filepath"
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

// Every recorded publication is published again. A damaged record, a missing key and a
// missing folder each affect one publication only.
func TestRestore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(1, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		state := t.TempDir()
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state))
		var dirs []string
		for i := range byte(5) {
			dirs = append(dirs, nodetest.Site(t, 1+int(i)))
			_, err := a.Publish(t.Context(), Config{Key: testKey(i), KeyName: string('a' + rune(i)), Path: dirs[i]})
			if err != nil {
				t.Fatal(err)
			}
		}
		a.Node.Close()
		record := filepath.Join(state, "publications", targetOf(keyLink(testKey(1))).String(), "record")
		filetest.Write(t, record, []byte("{"))
		if err := os.RemoveAll(dirs[2]); err != nil {
			t.Fatal(err)
		}
		a = start(t, n, 2, nodetest.Boot(100), nodetest.State(state))
		keys := func(name string) (ed25519.PrivateKey, error) {
			if name == "d" {
				return nil, os.ErrNotExist
			}
			return testKey(name[0] - 'a'), nil
		}
		pubs, failed := a.Restore(t.Context(), RestoreConfig{Key: keys})
		var links []string
		for _, p := range pubs {
			links = append(links, p.Link())
			if a.Torrent(p.Torrent().InfoHash()) == nil {
				t.Error("not seeded:", p.Link())
			}
		}
		if got := strings.Join(links, " "); len(links) != 2 || !strings.Contains(got, publicKey(0)) || !strings.Contains(got, publicKey(4)) {
			t.Error(links)
		}
		var damaged *node.DamagedError
		var gone, keyless *RestoreError
		if len(failed) != 3 || !errors.As(failed[0], &damaged) || !errors.As(failed[1], &gone) || !errors.As(failed[2], &keyless) {
			t.Fatal(failed)
		}
		if damaged.Path != record || gone.KeyName != "c" || keyless.KeyName != "d" || !errors.Is(keyless, os.ErrNotExist) {
			t.Error(failed)
		}
		var f *node.Fault
		if !errors.As(failed[0], &f) || f.Kind != node.FaultIO {
			t.Error("a damaged record is a fault of the disk:", failed[0])
		}
	})
}

func publicKey(num byte) string {
	return id.ID32(testKey(num).Public().(ed25519.PublicKey)).String()
}

// While the DHT has a newer version from another machine, publishing is refused, whether or
// not the content has changed.
func TestAnUnchangedFolderIsNotPublishedOverANewerVersion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(2, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 8)
		state, dir := t.TempDir(), nodetest.Site(t, 3)
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state))
		a.publish(testKey(0), dir)
		a.Node.Close()
		b := start(t, n, 2, nodetest.Boot(101))
		if _, err := b.Publish(t.Context(), Config{Key: testKey(0), KeyName: "k", Path: nodetest.Site(t, 4), Overrule: true}); err != nil {
			t.Fatal(err)
		}
		a = start(t, n, 3, nodetest.Boot(100), nodetest.State(state))
		for _, path := range []string{dir, ""} {
			_, err := a.Publish(t.Context(), Config{Key: testKey(0), Path: path})
			var f *node.Fault
			if !errors.As(err, &f) || f.Kind != node.FaultConflict || !strings.Contains(err.Error(), "version 2 of this key") {
				t.Errorf("%q: %v", path, err)
			}
		}
		p, err := a.Publish(t.Context(), Config{Key: testKey(0), Overrule: true})
		if err != nil {
			t.Fatal(err)
		}
		if v := newest(p); v.Seq != 3 {
			t.Errorf("version %d continues from 2", v.Seq)
		}
	})
}

// All publications on record are open before any of them is resumed, which takes long without an answer
// of the DHT: here the lookup of each one ends after 30 s, eight at a time.
func TestPublicationsAreOpenBeforeTheyAreResumed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const count = 20
		n := simnet.New(3, simnet.Link{Delay: 10 * ms})
		nodetest.Ring(t, n, 6)
		state := t.TempDir()
		a := start(t, n, 1, nodetest.Boot(100), nodetest.State(state))
		dir := nodetest.Site(t, 1)
		for i := range byte(count) {
			if _, err := a.Publish(t.Context(), Config{Key: testKey(0), Salt: []byte{'a' + i}, KeyName: "k", Path: dir}); err != nil {
				t.Fatal(err)
			}
		}
		a.Node.Close()
		a = start(t, n, 2, nodetest.Boot(100), nodetest.State(state))
		for i := range 6 {
			n.SetLink(nodetest.AddrPort(2).Addr(), nodetest.AddrPort(100+i).Addr(), simnet.Link{Loss: 1})
		}
		began := time.Now()
		r := a.Reopen(RestoreConfig{Key: func(string) (ed25519.PrivateKey, error) { return testKey(0), nil }})
		if open := len(a.Open()); open != count || time.Since(began) != 0 {
			t.Errorf("%d publications are open after %v", open, time.Since(began))
		}
		pubs, failed := r.Resume(t.Context())
		if len(pubs) != count || len(failed) != 0 {
			t.Errorf("%d are resumed; %v", len(pubs), failed)
		}
		t.Logf("resumed after %v", time.Since(began))
	})
}
