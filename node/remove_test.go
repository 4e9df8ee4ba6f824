package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/node/lifecycle"
	"seedbed/swarm/storage"
)

// Remove leaves nothing of a torrent in the state directory and does not change its files.
func TestRemoveLeavesNothingInTheStateDirectory(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(41, simnet.Link{Delay: 20 * ms})
		spec, dir := folder(t, ShareOptions{}, small)
		before := filetest.Names(filetest.Tree(t, dir))
		a := start(t, n, 1, noDHT)
		x := a.add(spec)
		awaitComplete(t, x)
		if got := a.Torrent(spec.InfoHash()); got != x {
			t.Fatalf("found %v by its infohash", got)
		}
		if err := settled(x, a.Remove(t.Context(), spec.InfoHash(), true)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-x.Ended():
		default:
			t.Error("it was removed but has not ended")
		}
		left, err := os.ReadDir(a.state + "/torrents")
		if err != nil || len(left) != 0 {
			t.Errorf("left in the state directory: %v, %v", left, err)
		}
		if after := filetest.Names(filetest.Tree(t, dir)); len(after) != len(before) {
			t.Errorf("the files were %v and are %v", before, after)
		}
		if err := a.Remove(t.Context(), spec.InfoHash(), true); !errors.Is(err, ErrUnknown) {
			t.Errorf("removed twice: %v", err)
		}
		a.add(spec)
	})
}

// A removal that cannot be recorded, as on a full disk, is reported and deletes the data nevertheless: that
// may be what makes space.
func TestARemovalThatCannotBeRecordedDeletesTheData(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(42, simnet.Link{Delay: 20 * ms})
		whole, _ := folder(t, ShareOptions{}, small)
		seed := start(t, n, 9, noDHT)
		seed.add(whole)
		a := start(t, n, 1, noDHT)
		dir := t.TempDir()
		x := a.add(inSession(Spec{Link: withPeers(whole, at(9).String()), Dir: dir}))
		wait(t, x.Done(), time.Minute, "the download")
		if err := a.Node.state.session.Close(); err != nil { // nothing can be written any more
			t.Fatal(err)
		}
		if err := a.Remove(t.Context(), whole.InfoHash(), true); err == nil {
			t.Error("nothing says that the removal was not recorded")
		}
		<-x.Ended()
		for _, path := range []string{dir, filepath.Join(a.state, "torrents")} {
			if left, err := os.ReadDir(path); err != nil || len(left) != 0 {
				t.Errorf("left: %v, %v", left, err)
			}
		}
	})
}

// A kill during Add leaves a folder with a lock and the metadata, but no record. Restore passes
// over it, because a download outside the session has such a folder too; the next Add uses it,
// and Remove leaves nothing of it.
func TestAnAddThatWasCutShortIsTakenUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		a := start(t, simnet.New(3, simnet.Link{Delay: 10 * ms}), 1, noDHT)
		spec, _ := folder(t, ShareOptions{}, small)
		st := a.Node.state.torrent(spec.InfoHash())
		if err := errors.Join(st.open(), st.keepTorrent(spec.Torrent), st.close()); err != nil {
			t.Fatal(err)
		}
		if err := a.Restore(t.Context()); err != nil || len(a.Torrents()) != 0 {
			t.Fatalf("%d torrents were restored, %v", len(a.Torrents()), err)
		}
		x := a.add(inSession(spec))
		awaitComplete(t, x)
		if err := settled(x, a.Remove(t.Context(), spec.InfoHash(), false)); err != nil {
			t.Fatal(err)
		}
		if left, err := os.ReadDir(filepath.Join(a.Node.state.path, "torrents")); err != nil || len(left) != 0 {
			t.Errorf("%v is left, %v", left, err)
		}
	})
}

// A removal with data that follows a move, of which a kill left only the first half, deletes the
// files in either folder.
func TestRemoveDeletesTheFilesOfAnInterruptedMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(66, simnet.Link{})
		spec := inSession(many(t, 1)[0])
		spec.Seed = false
		renamed, proceed := make(chan struct{}), make(chan struct{})
		first := true
		a := start(t, n, 1, noDHT, func(c *Config) {
			c.rename = func(from, to string) error {
				err := os.Rename(from, to)
				if first {
					first = false
					close(renamed)
					<-proceed
				}
				return err
			}
		})
		x := a.add(spec)
		awaitComplete(t, x)
		to := t.TempDir()
		if err := x.Move(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		<-renamed
		if err := a.Remove(t.Context(), spec.InfoHash(), true); err != nil {
			t.Fatal(err)
		}
		killed, file := copyOf(t, a.state), filepath.Join(to, spec.Name())
		content, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		at, err := os.Stat(file)
		if err != nil {
			t.Fatal(err)
		}
		close(proceed)
		wait(t, x.Ended(), time.Minute, "the removal")
		a.close()
		filetest.Write(t, file, content)
		if err := os.Chtimes(file, at.ModTime(), at.ModTime()); err != nil {
			t.Fatal(err)
		}
		b := start(t, n, 2, noDHT, state(killed))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, dir := range []string{spec.Dir, to} {
			if _, err := os.Stat(filepath.Join(dir, spec.Name())); err == nil {
				t.Errorf("the file is left in %s", dir)
			}
		}
	})
}

// removeDisk calls a function before it removes a file.
type removeDisk struct {
	storage.Disk
	before func(name string)
}

func (d removeDisk) Remove(name string) error {
	d.before(name)
	return d.Disk.Remove(name)
}

// A removal with data that follows a move between file systems, of which a kill left the originals of
// the copies, deletes the originals and the copies.
func TestRemoveDeletesTheOriginalsOfAnInterruptedMove(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n := simnet.New(67, simnet.Link{})
		spec := inSession(many(t, 1)[0])
		spec.Seed = false
		to := t.TempDir()
		paths := []string{filepath.Join(spec.Dir, spec.Name()), filepath.Join(to, spec.Name())}
		var a *rig
		var killed string // the state directory at the kill
		var content []byte
		var at time.Time
		kill := func(name string) {
			if killed != "" || name != spec.Name() {
				return
			}
			if err := a.Remove(t.Context(), spec.InfoHash(), true); err != nil {
				t.Error(err)
			}
			killed = copyOf(t, a.state)
			for _, path := range paths {
				fi, err := os.Stat(path)
				if err != nil {
					t.Error(err)
					continue
				}
				at = fi.ModTime()
				if content, err = os.ReadFile(path); err != nil {
					t.Error(err)
				}
			}
		}
		a = start(t, n, 1, noDHT, func(c *Config) {
			c.rename = func(string, string) error { return syscall.EXDEV }
			c.openDisk = func(dir string, create bool) (storage.Disk, error) {
				d, err := storage.SystemDisk(dir, create, a.handles)
				if err == nil && dir == spec.Dir {
					d = removeDisk{d, kill}
				}
				return d, err
			}
		})
		x := a.add(spec)
		awaitComplete(t, x)
		if err := x.Move(t.Context(), to); err != nil {
			t.Fatal(err)
		}
		wait(t, x.Ended(), time.Minute, "the removal")
		a.close()
		if killed == "" {
			t.Fatal("the move removed no original")
		}
		for _, path := range paths {
			filetest.Write(t, path, content)
			if err := os.Chtimes(path, at, at); err != nil {
				t.Fatal(err)
			}
		}
		b := start(t, n, 2, noDHT, state(killed))
		if err := b.Restore(t.Context()); err != nil {
			t.Fatal(err)
		}
		for _, path := range paths {
			if _, err := os.Stat(path); err == nil {
				t.Errorf("%s is left", path)
			}
		}
	})
}

// What is requested of a torrent while it is being added is done, and is on record: neither the first
// record nor the pause that the Spec asks for replaces it.
func TestRequestsDuringAddAreKept(t *testing.T) {
	for name, c := range map[string]struct {
		request func(*Node, *Torrent) error
		left    []lifecycle.Phase // in the next run
	}{
		"close":  {func(n *Node, _ *Torrent) error { return n.Close(context.Background()) }, []lifecycle.Phase{lifecycle.Paused}},
		"remove": {func(n *Node, x *Torrent) error { return n.Remove(n.ctx, x.hash, false) }, nil},
		"pause":  {func(n *Node, x *Torrent) error { return x.Pause(n.ctx) }, []lifecycle.Phase{lifecycle.Paused}},
	} {
		for _, paused := range []bool{false, true} {
			if name == "close" && !paused {
				continue
			}
			t.Run(fmt.Sprint(name, " paused ", paused), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					a := start(t, simnet.New(3, simnet.Link{}), 1, noDHT)
					spec, _ := folder(t, ShareOptions{}, small)
					spec = inSession(spec)
					spec.Paused = paused
					done := make(chan error, 1)
					_, err := a.Node.add(&spec, func(x *Torrent, _ *sessionEntry) error {
						go func() { done <- c.request(a.Node, x) }()
						synctest.Wait()
						return nil
					})
					if err != nil && !errors.Is(err, ErrClosed) {
						t.Fatal(err)
					}
					if err := <-done; err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					a.close()
					b := start(t, simnet.New(3, simnet.Link{}), 1, noDHT, func(c *Config) { c.State = a.state })
					if err := b.Restore(t.Context()); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					var left []lifecycle.Phase
					for _, x := range b.Torrents() {
						left = append(left, x.Phase())
					}
					if !slices.Equal(left, c.left) {
						t.Errorf("the next run has %v, not %v", left, c.left)
					}
				})
			})
		}
	}
}
