package pins

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/simnet"
	"seedbed/node"
)

// leftovers returns what a home has on disk and in its session of pins.
func (h *home) leftovers() (bytes int64, follows int) {
	records, err := filepath.Glob(filepath.Join(h.dir, "state", "follows", "*", "record"))
	if err != nil {
		h.t.Fatal(err)
	}
	return onDisk(filepath.Join(h.dir, "pins")), len(records)
}

// fingerprint describes the files of a folder. It changes when one of them does.
func fingerprint(dir string) string {
	var b strings.Builder
	_ = filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		fmt.Fprintln(&b, path, err)
		if err == nil {
			if fi, err := e.Info(); err == nil {
				fmt.Fprintln(&b, fi.Size(), fi.Mode(), fi.ModTime().UnixNano())
			}
		}
		return nil
	})
	return b.String()
}

// A process that is killed while it pins or removes a pin leaves nothing behind: after the next start the
// pin is held, or nothing of it is there.
func TestAKillAtAnyMomentLeavesNothingBehind(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a, dir := start(t, n, 1), t.TempDir()
		a.publishFile(0, 50000)
		var killed []string
		kill := func() { // copies what is on disk, as it is at one moment
			for {
				to := t.TempDir()
				before := fingerprint(dir)
				if err := os.CopyFS(to, os.DirFS(dir)); err != nil && !errors.Is(err, os.ErrNotExist) {
					t.Fatal(err)
				}
				if fingerprint(dir) == before {
					killed = append(killed, to)
					return
				}
			}
		}
		b := startIn(t, n, 2, dir)
		b.add(keyLink(0), 0)
		for range 3 {
			kill()
			time.Sleep(300 * ms)
		}
		s := b.reaches(keyLink(0), Held, 1)
		kill()
		removed := make(chan error)
		go func() {
			_, err := b.Remove(t.Context(), s.ID, true)
			removed <- err
		}()
		for range 3 {
			kill()
		}
		if err := <-removed; err != nil {
			t.Fatal(err)
		}
		kill()
		b.Close()
		held := 0
		for i, copied := range killed {
			if err := errors.Join(os.RemoveAll(dir), os.CopyFS(dir, os.DirFS(copied))); err != nil {
				t.Fatal(err)
			}
			c := startIn(t, n, 3, dir)
			time.Sleep(2 * time.Minute)
			switch bytes, follows := c.leftovers(); {
			case len(c.Pins()) == 1:
				held++
				if s := c.reaches(keyLink(0), Held, 1); bytes != 50000 || c.Used() != 50000 || follows != 1 {
					t.Errorf("kill %d: %d bytes on disk, %d charged, %d follows; %+v", i, bytes, c.Used(), follows, s)
				}
			case bytes != 0 || c.Used() != 0 || follows != 0 || len(c.Torrents()) != 0 || len(c.endings) != 0:
				t.Errorf("kill %d: %d bytes, %d charged, %d follows and %d torrents are left", i, bytes, c.Used(), follows, len(c.Torrents()))
			}
			c.Close()
		}
		if held < 4 || held == len(killed) {
			t.Errorf("%d of %d kills held the pin", held, len(killed))
		}
	})
}

// editRecord changes the record of a home that is closed.
func (h *home) editRecord(edit func(*record)) {
	h.t.Helper()
	path := recordPath(filepath.Join(h.dir, "state"))
	b, err := os.ReadFile(path)
	if err != nil {
		h.t.Fatal(err)
	}
	var r record
	if err := json.Unmarshal(b, &r); err != nil {
		h.t.Fatal(err)
	}
	edit(&r)
	if b, err = json.Marshal(&r); err == nil {
		err = os.WriteFile(path, b, 0o600)
	}
	if err != nil {
		h.t.Fatal(err)
	}
}

// A removal that a kill has interrupted is completed after the next start, also that of a torrent, unless
// the link is pinned again before.
func TestAnInterruptedRemovalIsCompleted(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a, dir := start(t, n, 1), t.TempDir()
		p, _ := a.publishFile(0, 50000)
		a.publishFile(1, 60000)
		torrent := parse(t, "magnet:?xt=urn:btih:"+p.Torrent().InfoHash().String())
		b := startIn(t, n, 2, dir)
		b.add(keyLink(1), 0)
		b.add(torrent, 0)
		b.reaches(keyLink(1), Held, 1)
		b.reaches(torrent, Held, 0)
		b.Close()
		b.editRecord(func(r *record) {
			for _, p := range r.Pins {
				r.Endings = append(r.Endings, savedEnding{p.Link, p.Dir, true})
			}
			r.Pins = nil
		})
		b = startIn(t, n, 2, dir)
		time.Sleep(10 * time.Second)
		bytes, follows := b.leftovers()
		records, _ := filepath.Glob(filepath.Join(dir, "state", "torrents", "*"))
		if bytes != 0 || follows != 0 || len(b.Torrents()) != 0 || len(b.Pins()) != 0 || len(records) != 0 {
			t.Errorf("%d bytes, %d follows, %d torrents, %v are left", bytes, follows, len(b.Torrents()), records)
		}

		b.add(keyLink(1), 0)
		b.reaches(keyLink(1), Held, 1)
		b.Close()
		a.Close() // it cannot be downloaded again
		b.editRecord(func(r *record) { r.Endings, r.Pins = []savedEnding{{r.Pins[0].Link, r.Pins[0].Dir, true}}, nil })
		ready := make(chan struct{})
		b = startIn(t, n, 2, dir, func(c *Config) { c.Ready = ready })
		b.add(keyLink(1), 0)
		close(ready)
		time.Sleep(time.Minute)
		b.reaches(keyLink(1), Held, 1)
		if bytes, _ := b.leftovers(); bytes != 60000 || len(b.endings) != 0 {
			t.Errorf("%d bytes of what was pinned again are left, %d endings", bytes, len(b.endings))
		}
	})
}

// A pin that was killed before its charge was on record is charged with what it holds.
func TestALostChargeIsMadeUpFor(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		a, dir := start(t, n, 1), t.TempDir()
		a.publishFile(0, 50000)
		b := startIn(t, n, 2, dir)
		b.add(keyLink(0), 0)
		b.reaches(keyLink(0), Held, 1)
		b.Close()
		b.editRecord(func(r *record) { r.Pins[0].Charge = charge{} })
		b = startIn(t, n, 2, dir)
		b.reaches(keyLink(0), Held, 1)
		time.Sleep(2 * time.Minute)
		if b.Used() != 50000 {
			t.Errorf("%d bytes are charged", b.Used())
		}
	})
}

// A record of which a byte is wrong or the end is missing is refused, or what it still says is possible: no
// folder but that of a pin is ever deleted, and no number is negative.
func TestADamagedRecordIsRefusedOrHarmless(t *testing.T) {
	simulate(t, func(t *testing.T, n *simnet.Net) {
		h := start(t, n, 1)
		h.add(keyLink(0), 10)
		h.add(parse(t, torrentLink+"&dn=a"), 0)
		h.subscribe(keyLink(10), 1000, 7)
		end, err := h.begin(t.Context()) // the manager must not remove the ending
		if err != nil {
			t.Fatal(err)
		}
		defer end()
		h.mu.Lock()
		h.endings = []*ending{{&pin{id: idOf(keyLink(3)), link: keyLink(3), savedPin: savedPin{Link: keyLink(3).String(), Dir: filepath.Join(h.dir, "pins", idOf(keyLink(3)).String())}, failed: errTwice}, true}}
		h.unsaved = true
		h.mu.Unlock()
		if err := h.save(); err != nil {
			t.Fatal(err)
		}
		h.Manager.Close()
		path := recordPath(h.StateDir())
		good, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		refused := 0
		try := func(b []byte) {
			if err := os.WriteFile(path, b, 0o600); err != nil {
				t.Fatal(err)
			}
			m := &Manager{node: h.Node.Node, cfg: h.cfg, pins: map[id.ID]*pin{}}
			err := m.load()
			var damaged *node.DamagedError
			if errors.As(err, &damaged) {
				refused++
				return
			}
			dirs := map[string]id.ID{}
			for _, p := range m.pins {
				dirs[p.Dir] = p.id
				if p.Quota < 0 || p.Charge.total() < 0 {
					t.Errorf("loaded: %+v", p)
				}
			}
			for _, l := range m.lists {
				dirs[l.Dir] = l.id
				if l.Quota <= 0 || l.Max <= 0 || l.Max > MaxPins || !l.link.HasPublicKey {
					t.Errorf("loaded: %+v", l)
				}
			}
			for _, e := range m.endings {
				dirs[e.Dir] = e.id
			}
			for dir, of := range dirs {
				if !filepath.IsAbs(dir) || filepath.Base(dir) != of.String() {
					t.Errorf("the folder %s would be deleted", dir)
				}
			}
		}
		for i := 0; i < len(good); i += 2 {
			b := append([]byte(nil), good...)
			b[i] ^= []byte{1, 4, 0x80}[i/2%3]
			try(b)
			if i%32 == 0 {
				try(good[:i])
			}
		}
		if refused == 0 {
			t.Error("no damage was noticed")
		}
		try(good)
		if t.Failed() {
			t.Logf("%s", good)
		}
	})
}
