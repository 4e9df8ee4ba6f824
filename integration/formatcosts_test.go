//go:build linux

package integration

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"seedbed/magnet/metainfo"
)

// BenchmarkFormats measures what each torrent format is worth to a publisher, and prints a
// table: which clients open it, what it costs to make, to open and to update, and what it
// costs in the DHT. Only the rows in seconds depend on the machine.
func BenchmarkFormats(b *testing.B) {
	need(b, others...)
	shapes := sync.OnceValue(func() []*shape { return []*shape{newBig(b), newSite(b), newMany(b)} })
	nodes := sync.OnceValue(func() []string {
		dht := &dhtNet{address: "10.4.%d.1", theirs: 32}
		b.Cleanup(dht.close)
		return dht.join(b)
	})
	var opened, updated, announced, made, fetched formatTable
	b.Run("opened", func(b *testing.B) {
		dht := nodes()
		var other sync.WaitGroup // both wait for clients more than they compute
		other.Go(func() {
			if err := attempt(b, func(t testing.TB) { measureAnnounces(t, &announced, dht) }); err != nil {
				b.Error(err)
			}
		})
		tryOpenings(b, &opened)
		other.Wait()
	})
	b.Run("updated", func(b *testing.B) { measureUpdates(b, &updated, nodes()) })
	b.Run("made", func(b *testing.B) { measureMaking(b, &made, shapes()) })
	b.Run("fetched", func(b *testing.B) { measureLinks(b, &fetched, shapes(), nodes()) })
	for _, t := range []*formatTable{&made, &fetched, &updated, &announced} {
		opened.join(t)
	}
	fmt.Println(&opened)
}

// formatTable has a row for each figure and a column for each format.
type formatTable struct {
	mu    sync.Mutex
	rows  []string
	cells map[string]map[metainfo.Format]string
	notes []string
}

// add reserves the place of a row, so that figures may come in any order.
func (t *formatTable) add(row string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.cells == nil {
		t.cells = map[string]map[metainfo.Format]string{}
	}
	if t.cells[row] == nil {
		t.rows, t.cells[row] = append(t.rows, row), map[metainfo.Format]string{}
	}
}

func (t *formatTable) set(row string, f metainfo.Format, format string, a ...any) {
	t.add(row)
	t.mu.Lock()
	defer t.mu.Unlock()
	t.cells[row][f] = fmt.Sprintf(format, a...)
}

// join adds the rows of another table.
func (t *formatTable) join(o *formatTable) {
	for _, row := range o.rows {
		t.add(row)
		t.cells[row] = o.cells[row]
	}
}

// note adds a sentence below the table, once, and returns its number.
func (t *formatTable) note(s string) int {
	t.mu.Lock()
	defer t.mu.Unlock()
	if i := slices.Index(t.notes, s); i >= 0 {
		return i + 1
	}
	t.notes = append(t.notes, s)
	return len(t.notes)
}

func (t *formatTable) String() string {
	var s strings.Builder
	s.WriteString("|")
	for _, f := range formats {
		fmt.Fprintf(&s, " | %s", f)
	}
	s.WriteString(" |\n|---|---|---|---|\n")
	for _, r := range t.rows {
		fmt.Fprintf(&s, "| %s", r)
		for _, f := range formats {
			fmt.Fprintf(&s, " | %s", t.cells[r][f])
		}
		s.WriteString(" |\n")
	}
	for i, n := range t.notes {
		fmt.Fprintf(&s, "\n%d. %s", i+1, n)
	}
	return s.String()
}

// trial is a scope in which a failure is a result: it ends only the function that runs in
// it.
type trial struct {
	testing.TB
	mu       sync.Mutex // the readers of processes report errors too
	err      error
	cleanups []func()
}

func (t *trial) Cleanup(f func())          { t.cleanups = append(t.cleanups, f) }
func (t *trial) Failed() bool              { return false } // no logs
func (t *trial) Error(a ...any)            { t.Errorf("%s", fmt.Sprint(a...)) }
func (t *trial) Fatalf(f string, a ...any) { t.Errorf(f, a...); runtime.Goexit() }
func (t *trial) Fatal(a ...any)            { t.Error(a...); runtime.Goexit() }

func (t *trial) Errorf(f string, a ...any) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.err = errors.Join(t.err, fmt.Errorf(f, a...))
}

// attempt runs f and returns why it failed, or nil.
func attempt(t testing.TB, f func(testing.TB)) error {
	a := &trial{TB: t}
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer func() {
			for _, c := range slices.Backward(a.cleanups) {
				c()
			}
		}()
		f(a)
	}()
	<-done
	return a.err
}

// A client that is not known to open a torrent has tooLong for it, which is more than any
// of those that open it need. The others end when they have everything.
const tooLong = 40 * time.Second

// tryOpenings gives every client every torrent, several at a time.
func tryOpenings(b testing.TB, t *formatTable) {
	slots := make(chan struct{}, 10)
	var all sync.WaitGroup
	for _, o := range openings() {
		row := fmt.Sprintf("%s: %s", o.by(), o.way)
		t.add(row)
		slots <- struct{}{}
		all.Go(func() {
			defer func() { <-slots }()
			limit := tooLong
			if o.isOpened() {
				limit = 3 * time.Minute
			}
			ctx, cancel := context.WithTimeout(b.Context(), limit)
			defer cancel()
			err := attempt(b, func(t testing.TB) { o.run(ctx, t) })
			if err == nil {
				t.set(row, o.format, "yes")
				return
			}
			if o.isOpened() {
				b.Errorf("%s: %v", o, err)
			}
			t.set(row, o.format, "no (%d)", t.note(strings.ReplaceAll(err.Error(), "\n", "; ")))
		})
	}
	all.Wait()
}

// shape is a payload in all formats.
type shape struct {
	name  string
	dir   string // of the torrents
	p     *payload
	infos map[metainfo.Format]*metainfo.Info
	in    map[metainfo.Format]*payload
}

func newShape(b testing.TB, name string, files map[string]int) *shape {
	return &shape{
		name: name, dir: b.TempDir(), p: newPayload(b, name, piece, false, files),
		infos: map[metainfo.Format]*metainfo.Info{}, in: map[metainfo.Format]*payload{},
	}
}

func newBig(b testing.TB) *shape { return newShape(b, "1 GiB", map[string]int{"": 1 << 30}) }

// newMany returns 10,000 files of 100 bytes to 10 KB.
func newMany(b testing.TB) *shape {
	files := map[string]int{}
	for i := range 10_000 {
		files[fmt.Sprintf("%02d/%05d", i%100, i)] = 100 + i*7919%9901
	}
	return newShape(b, "10,000 files", files)
}

// newSite returns the files of a typical site: 300 pages, 90 images and 20 downloads, 101
// MB together.
func newSite(b testing.TB) *shape {
	rng := rand.New(rand.NewPCG(1, 2))
	files := map[string]int{}
	add := func(n int, path string, from, to int) {
		for i := range n {
			files[fmt.Sprintf(path, i)] = from + rng.IntN(to-from)
		}
	}
	add(300, "pages/%03d.html", 2_000, 40_000)
	add(90, "images/%02d.jpg", 20_000, 800_000)
	add(20, "downloads/%02d.zip", 500_000, 6_000_000)
	return newShape(b, "a site", files)
}

// measureMaking makes the torrents and shows their sizes.
func measureMaking(b *testing.B, t *formatTable, shapes []*shape) {
	ctx := barTime(b)
	for _, s := range shapes {
		seconds := map[metainfo.Format][]float64{}
		for range barRuns {
			for _, f := range formats {
				q := *s.p
				q.torrent = filepath.Join(s.dir, f.String()+".torrent")
				began := time.Now()
				p := start(b, "create", nil, seedbed, "create", filepath.Join(q.parent, q.name), "-o", q.torrent, "--overwrite", "--"+f.String(), "--quiet")
				if code := p.exit(ctx); code != 0 {
					b.Fatalf("create ended with %d", code)
				}
				seconds[f] = append(seconds[f], time.Since(began).Seconds())
				s.in[f] = &q
			}
		}
		for _, f := range formats {
			file, err := os.ReadFile(s.in[f].torrent)
			must(b, err)
			made, err := metainfo.ParseTorrent(file)
			must(b, err)
			i := made.Info
			s.infos[f] = i
			t.set(s.name+": to make it", f, "%.2f s", median(seconds[f]))
			t.set(s.name+": pieces", f, "%d of %s", i.NumPieces(), size(i.PieceLength))
			t.set(s.name+": padding, which is hashed", f, "%s", size(paddingOf(i)))
			t.set(s.name+": the .torrent file", f, "%s", size(int64(len(file))))
			t.set(s.name+": metadata, which a link fetches", f, "%s", size(int64(len(i.Raw))))
		}
	}
}

// paddingOf returns the bytes of padding that SHA-1 covers: the trees of v2 end with files.
func paddingOf(i *metainfo.Info) (n int64) {
	for _, f := range i.Files {
		if f.Pad && i.HasV1() {
			n += f.Length
		}
	}
	return n
}

func size(n int64) string {
	switch {
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", (n+1<<19)>>20)
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	case n >= 1<<10:
		return fmt.Sprintf("%d KiB", (n+1<<9)>>10)
	}
	return fmt.Sprintf("%d bytes", n)
}

// measureLinks opens a bare magnet link of each torrent, whose only seed the DHT knows.
func measureLinks(b *testing.B, t *formatTable, shapes []*shape, nodes []string) {
	host := 0
	for n, s := range shapes {
		ctx := barTime(b)
		ip := fmt.Sprintf("10.2.%d.1", n+1)
		args := []string{"seed", "-d", s.p.parent}
		for _, f := range formats {
			if s.infos[f] == nil {
				s.in[f], s.infos[f] = s.p.in(b, f) // measureMaking did not run
			}
			args = append(args, s.in[f].torrent)
		}
		run(b, ip, entered(nodes[:2], args...)...).wait(ctx, "ready")
		for _, f := range formats {
			announcedAs(ctx, b, nodes, s.infos[f], ip)
		}
		metadata, complete := map[metainfo.Format][]float64{}, map[metainfo.Format][]float64{}
		for range barRuns {
			for _, f := range formats {
				host++
				dir := b.TempDir()
				began := time.Now()
				o := run(b, fmt.Sprintf("10.3.%d.1", host), entered(nodes[:2], "get", linkOf(s.infos[f]), "-d", dir)...)
				o.ends(ctx, 0)
				metadata[f] = append(metadata[f], o.first("metadata").at().Sub(began).Seconds())
				complete[f] = append(complete[f], o.first("complete").at().Sub(began).Seconds())
				s.p.same(b, dir, true)
				if len(s.p.files) == 1 {
					must(b, os.RemoveAll(dir)) // the others stay: see BenchmarkBarManyFiles
				}
			}
		}
		for _, f := range formats {
			t.set(s.name+": from a bare link to the metadata", f, "%.2f s", median(metadata[f]))
			t.set(s.name+": to everything", f, "%.2f s", median(complete[f]))
		}
	}
}

// infohashesOf returns the infohashes under which a torrent is announced in the DHT.
func infohashesOf(i *metainfo.Info) (all []string) {
	if i.HasV1() {
		all = append(all, i.Hash.String())
	}
	if i.HasV2() {
		all = append(all, i.HashV2.String()[:40])
	}
	return all
}

// announcedAs waits until DHT nodes return ip:6881 for every infohash of a torrent.
func announcedAs(ctx context.Context, t testing.TB, nodes []string, i *metainfo.Info, ip string) {
	t.Helper()
	for _, h := range infohashesOf(i) {
		announced(ctx, t, nodes, h, ip)
	}
}
