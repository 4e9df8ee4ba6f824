package node

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
)

// A session of an earlier version, with a record in each folder, is taken over: also the newer record that
// was not synced. What an interrupted add has left is deleted, and a damaged record costs its torrent alone.
func TestASessionOfAnEarlierVersionIsTakenOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(52, simnet.Link{Delay: 20 * ms})
		specs := many(t, 5)
		a := start(t, n, 1, noDHT)
		for i, s := range specs {
			s = inSession(s)
			s.Paused, s.Labels = true, []string{"old"}
			if i == 1 {
				s.Labels = []string{"new"}
			}
			a.add(s)
		}
		a.close()
		folder := func(i int, name string) string {
			return filepath.Join(a.state, "torrents", specs[i].InfoHash().String(), name)
		}
		for i, name := range []string{"record", "record.new", "record", "record", "record.new"} {
			b := []byte(recordOf(t, a.state, specs[i].InfoHash()))
			if i >= 3 { // damaged, and interrupted
				b = b[:len(b)/2]
			}
			filetest.Write(t, folder(i, name), b)
			if i == 2 {
				filetest.Write(t, folder(i, "record.new"), b[:20])
			}
		}
		if err := os.Remove(filepath.Join(a.state, "session")); err != nil {
			t.Fatal(err)
		}
		for range 2 {
			b := start(t, n, 1, noDHT, state(a.state))
			err := b.Restore(t.Context())
			if damaged, ok := err.(interface{ Unwrap() []error }); !ok || len(damaged.Unwrap()) != 1 {
				t.Errorf("the damaged record: %v", err)
			}
			if len(b.Torrents()) != 3 {
				t.Errorf("%d torrents instead of 3", len(b.Torrents()))
			}
			for i, label := range []string{"old", "new", "old"} {
				if x := b.Torrent(specs[i].InfoHash()); x == nil || !slices.Equal(x.Labels(), []string{label}) {
					t.Errorf("torrent %d: %v", i, x)
				}
				if _, err := os.Lstat(folder(i, "record")); err == nil {
					t.Error("the old record is still there")
				}
			}
			if _, err := os.Lstat(folder(4, "")); err == nil {
				t.Error("what an interrupted add has left is still there")
			}
			b.close()
		}
	})
}

// A torrent whose record is damaged keeps its metadata, although its folder looks like that of an
// interrupted add.
func TestADamagedSessionKeepsTheFolders(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(53, simnet.Link{Delay: 20 * ms})
		a := start(t, n, 1, noDHT)
		specs := many(t, 2)
		for _, s := range specs {
			s = inSession(s)
			s.Paused = true
			a.add(s)
		}
		a.close()
		path := filepath.Join(a.state, "session")
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		hash := specs[0].InfoHash().String()
		filetest.Write(t, path, []byte(strings.ReplaceAll(string(b), " "+hash+" ", " ?"+hash[1:]+" ")))
		again := start(t, n, 2, noDHT, state(a.state))
		var damaged *DamagedError
		if err := again.Restore(t.Context()); !errors.As(err, &damaged) || len(again.Torrents()) != 1 {
			t.Fatalf("%d torrents, %v", len(again.Torrents()), err)
		}
		if st := again.Node.state.torrent(specs[0].InfoHash()); readTorrent(st.torrentPath()) == nil {
			t.Error("the metadata was deleted")
		}
	})
}
