package node

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
	"seedbed/internal/journal"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
	"seedbed/swarm/storage"
)

// copyOf returns a copy of a state directory, as it is at this moment.
func copyOf(t *testing.T, state string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(state)); err != nil {
		t.Fatal(err)
	}
	return dir
}

// recordOf returns the record of a torrent in a state directory.
func recordOf(t *testing.T, state string, hash id.ID) string {
	t.Helper()
	j, err := journal.Open(filepath.Join(state, "session"))
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	b, err := j.Get(hash)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// A kill right after an operation was answered undoes nothing. A power cut at that moment, which
// leaves any part of what was not synced, undoes that operation and nothing before it.
func TestAPowerCutUndoesOnlyWhatWasNotSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(61, simnet.Link{Delay: 20 * ms})
		spec := many(t, 1)[0]
		a := start(t, n, 1, noDHT)
		x := a.add(inSession(spec))
		added := copyOf(t, a.state)
		awaitComplete(t, x)
		synced := 0
		for _, label := range []string{"old", "new"} {
			time.Sleep(2 * syncDelay)
			if b, err := os.ReadFile(filepath.Join(a.state, "session")); err != nil {
				t.Fatal(err)
			} else {
				synced = len(b)
			}
			if err := x.SetLabels(t.Context(), []string{label}); err != nil {
				t.Fatal(err)
			}
		}
		labelled := copyOf(t, a.state)
		a.close()
		for name, c := range map[string]struct {
			state   string
			synced  int
			killed  []string // the labels after a kill
			cut     []string // after a power cut
			isThere bool     // after a power cut
		}{
			"add":   {added, 0, nil, nil, false},
			"label": {labelled, synced, []string{"new"}, []string{"old"}, true},
		} {
			written, err := os.ReadFile(filepath.Join(c.state, "session"))
			if err != nil {
				t.Fatal(err)
			}
			rest := len(written) - c.synced
			zeros := append(bytes.Clone(written[:c.synced]), make([]byte, rest)...)
			for _, left := range [][]byte{written, written[:c.synced], written[:c.synced+rest/2], zeros} {
				s := copyOf(t, c.state)
				filetest.Write(t, filepath.Join(s, "session"), left)
				b := start(t, n, 2, noDHT, state(s))
				if err := b.Restore(t.Context()); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				x := b.Torrent(spec.InfoHash())
				labels, isThere := c.cut, c.isThere
				if bytes.Equal(left, written) {
					labels, isThere = c.killed, true
				}
				if (x != nil) != isThere || x != nil && !slices.Equal(x.Labels(), labels) {
					t.Errorf("%s, %d of %d bytes left: %v", name, len(left), len(written), x)
				}
				b.close()
			}
		}
	})
}

// What operations have written is synced within a second, also what was written before a kill, and at
// the end.
func TestRecordsAreSyncedWithinASecond(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(62, simnet.Link{Delay: 20 * ms})
		a := start(t, n, 1, noDHT)
		check := func(when string, r *rig, want bool) {
			t.Helper()
			j, err := r.Node.state.records()
			if err != nil {
				t.Fatal(err)
			}
			if got := !j.IsPending(); got != want {
				t.Errorf("%s: everything is synced: %v", when, got)
			}
		}
		specs := many(t, 20)
		for i := range specs {
			specs[i] = inSession(specs[i])
			specs[i].Paused = true
		}
		for _, s := range specs[1:] {
			a.add(s)
		}
		check("at first", a, false)
		killed := copyOf(t, a.state)
		time.Sleep(time.Second)
		check("after a second", a, true)
		a.add(specs[0])
		check("after another add", a, false)
		a.close()
		b := start(t, n, 2, noDHT, state(killed))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		check("after a kill", b, false)
		time.Sleep(time.Second)
		check("after a kill and a second", b, true)
		b.close()
		for _, dir := range []string{a.state, killed} {
			written, err := os.ReadFile(filepath.Join(dir, "session"))
			if err != nil {
				t.Fatal(err)
			}
			if !bytes.HasSuffix(written, []byte(" synced 0\n")) {
				t.Errorf("the end of a session was not synced: %q", written[max(len(written)-40, 0):])
			}
		}
	})
}

// Files are moved and deleted only after the record that says so was synced: otherwise a power cut
// would leave a record that looks for the files in the wrong folder.
func TestFilesChangeOnlyAfterTheirRecordIsSynced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(64, simnet.Link{Delay: 20 * ms})
		spec := inSession(many(t, 1)[0])
		spec.Seed = false
		var a *rig
		var records []string
		isRemoving := false
		look := func() {
			if j, err := a.Node.state.records(); err != nil || j.IsPending() {
				t.Errorf("the record is not synced, %v", err)
			}
			records = append(records, recordOf(t, a.state, spec.InfoHash()))
		}
		a = start(t, n, 1, noDHT, func(c *Config) {
			c.rename = func(from, to string) error {
				look()
				return os.Rename(from, to)
			}
			c.openDisk = func(dir string, create bool) (storage.Disk, error) {
				if isRemoving {
					look()
				}
				return storage.SystemDisk(dir, create, a.handles)
			}
		})
		x := a.add(spec)
		awaitComplete(t, x)
		to := t.TempDir()
		if err := settled(x, x.Move(t.Context(), to)); err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			t.Fatal("nothing was moved")
		}
		for _, r := range records {
			if !bytes.Contains([]byte(r), []byte(`"move":"`+to)) {
				t.Errorf("moved with the record %s", r)
			}
		}
		reachesPhase(t, x, lifecycle.Seeding)
		records, isRemoving = nil, true
		if err := settled(x, a.Remove(t.Context(), spec.InfoHash(), true)); err != nil {
			t.Fatal(err)
		}
		if len(records) == 0 {
			t.Fatal("no file was deleted")
		}
		if !bytes.Contains([]byte(records[0]), []byte(`"want":"remove with data"`)) {
			t.Errorf("deleted with the record %s", records[0])
		}
	})
}
