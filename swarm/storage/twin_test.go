package storage

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"strings"
	"syscall"
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/bitset"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
)

// modelDisk adapts a disk of simnet to storage.
type modelDisk struct{ *simnet.Disk }

func (d modelDisk) Open(name string, flag int, perm fs.FileMode) (File, error) {
	f, err := d.Disk.Open(name, flag, perm)
	if err != nil {
		return nil, err
	}
	return f, nil
}

// openSyncer syncs syncTogether files by one call, as on Linux.
func (d modelDisk) openSyncer() syncer { return modelSyncer{d} }

type modelSyncer struct{ modelDisk }

func (m modelSyncer) Sync() error             { return m.SyncAll() }
func (m modelSyncer) Covers(fs.FileInfo) bool { return true }
func (m modelSyncer) Close() error            { return nil }

// syncFew makes a test sync that few files by one call.
func syncFew(n int) (undo func()) {
	was := syncTogether
	syncTogether = n
	return func() { syncTogether = was }
}

// twin drives a Storage on a model disk. Its naive twin is the torrent as one slice of
// bytes and the set of marked pieces.
type twin struct {
	t       *rapid.T
	f       fixture
	disk    *simnet.Disk
	s       *Storage
	sel     []int
	marked  bitset.Set // verified, as far as either side has reported
	flushed bitset.Set // verified when the last Flush succeeded
	handles *Handles
	record  bool
	// renamed says that Finish has renamed files that are not flushed yet. After a power
	// cut, such a file may be treated as a file of another program.
	renamed, overwrite bool
	// gaps says that faults may have kept entries out of the journal, or that an unwanted
	// file was written: without a record, Open does not look for it.
	gaps bool
}

func genFixture(t *rapid.T) fixture {
	n := rapid.IntRange(1, 8).Draw(t, "files")
	plan := metainfo.Plan{Name: "T", PieceLength: 16 << 10}
	var total int64
	for i := range n {
		size := rapid.SampledFrom([]int64{0, 1, 100, 5000, 16 << 10, 20000, 40000, 70000}).Draw(t, "size")
		path := []string{fmt.Sprintf("f%d", i)}
		if rapid.Bool().Draw(t, "deep") {
			path = []string{fmt.Sprintf("d%d", i%2), path[0]}
		}
		plan.Files = append(plan.Files, metainfo.PlanFile{Path: path, Length: size})
		total += size
	}
	if total == 0 {
		plan.Files[0].Length, total = 1, 1
	}
	data := make([]byte, total)
	r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
	for i := range data {
		data[i] = byte(r.Uint32() | 1)
	}
	return fixture{build(t, plan, data), data}
}

func (w *twin) open() {
	o := Options{Dir: "dl", Info: w.f.info, Select: w.sel, Handles: w.handles, Overwrite: w.overwrite}
	if w.record {
		o.Record = "st/resume"
	}
	o.OpenDisk = func(dir string, _ bool) (Disk, error) {
		if strings.HasSuffix(dir, "dl") {
			return modelDisk{w.disk.Sub("dl")}, nil
		}
		return modelDisk{w.disk.Sub("st")}, nil
	}
	w.s = open(w.t, o)
	if err := w.s.RecordError(); err != nil {
		w.t.Fatal(err)
	}
}

// proven checks that every claimed piece exists.
func (w *twin) proven() {
	buf := make([]byte, 10000)
	for p := range w.s.Have().All() {
		if ok, err := w.s.HashPiece(p, buf); !ok {
			w.t.Fatalf("piece %d is claimed but missing: %v", p, err)
		}
	}
}

// cut simulates a power cut.
func (w *twin) cut(dice *rand.Rand) {
	w.overwrite = w.overwrite || w.renamed
	w.disk.Cut(dice)
	w.reopen(w.flushed)
}

// reopen opens the storage again; kept is what must not be lost.
func (w *twin) reopen(kept bitset.Set) {
	w.handles.Close()
	w.handles = NewHandles(3)
	w.open()
	w.proven()
	have, err := w.s.CheckDoubtful(w.t.Context(), nil)
	must(w.t, err)
	if kept.AnyNotIn(have) && !w.overwrite {
		w.t.Fatalf("kept %d pieces of %d", kept.CountAnd(have), kept.Count())
	}
	w.marked = have
	w.proven()
}

func (w *twin) selection() []int {
	if rapid.Bool().Draw(w.t, "all") {
		return nil
	}
	sel := []int{}
	for i := range w.f.info.Files {
		if rapid.Bool().Draw(w.t, "wanted") {
			sel = append(sel, i)
		}
	}
	return sel
}

func TestStorageAgreesWithOneSliceOfBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := &twin{t: t, f: genFixture(t), disk: simnet.NewDisk(), handles: NewHandles(3), record: rapid.Bool().Draw(t, "record")}
		defer func() { w.handles.Close() }()
		defer syncFew(rapid.SampledFrom([]int{1, 2, 128}).Draw(t, "synced together"))()
		n := w.f.info.NumPieces()
		w.marked, w.flushed = bitset.New(n), bitset.New(n)
		w.sel = w.selection()
		w.open()
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "dice"), 1))
		piece := func() int { return rapid.IntRange(0, n-1).Draw(t, "piece") }
		unwanted := func(p int) { w.gaps = w.gaps || !w.f.info.Wanted(w.sel).Has(p) }
		put := func(p int) {
			unwanted(p)
			w.f.put(t, w.s, p)
			w.marked.Add(p)
		}
		flush := func() {
			must(t, w.s.Flush())
			w.flushed, w.renamed, w.gaps = w.marked.Clone(), false, false
		}
		t.Repeat(map[string]func(*rapid.T){
			"put": func(*rapid.T) { put(piece()) },
			"put wanted": func(*rapid.T) {
				if p := w.f.info.Wanted(w.sel).Next(piece()); p >= 0 {
					put(p)
				}
			},
			"scribble": func(*rapid.T) {
				p := piece()
				if w.marked.Has(p) {
					return
				}
				unwanted(p)
				off, b := w.f.piece(p)
				must(t, w.s.WriteAt(bytes.Repeat([]byte{7}, len(b)/2), off))
			},
			"read": func(*rapid.T) {
				p := piece()
				if !w.marked.Has(p) {
					return
				}
				off, b := w.f.piece(p)
				lo := rapid.IntRange(0, len(b)-1).Draw(t, "from")
				got := make([]byte, len(b)-lo)
				must(t, w.s.ReadAt(got, off+int64(lo)))
				if !bytes.Equal(got, b[lo:]) {
					t.Fatal("other bytes than were written")
				}
			},
			"flush":  func(*rapid.T) { flush() },
			"finish": func(*rapid.T) { must(t, w.s.Finish()); w.renamed = true },
			"select": func(*rapid.T) {
				w.sel = w.selection()
				w.s.SetSelect(w.sel)
				w.gaps = true
			},
			"close": func(*rapid.T) {
				must(t, w.s.Close())
				w.sel = w.selection()
				kept := w.marked
				if !w.record {
					kept = bitset.New(n) // unwanted files are unknown then
				}
				w.reopen(kept)
			},
			"kill": func(*rapid.T) {
				if !w.record {
					return
				}
				kept := w.flushed.Clone()
				for p := range w.f.info.Wanted(w.sel).All() {
					if w.marked.Has(p) && !w.gaps {
						kept.Add(p)
					}
				}
				w.reopen(kept)
			},
			"power cut": func(*rapid.T) {
				if !w.record {
					return
				}
				w.cut(dice)
				// What survived the cut persists.
				flush()
			},
			"fault": func(*rapid.T) {
				op := rapid.SampledFrom([]string{"write", "sync", "open", "rename", "syncdir", "truncate"}).Draw(t, "op")
				errno := rapid.SampledFrom([]syscall.Errno{syscall.ENOSPC, syscall.EIO, syscall.EACCES}).Draw(t, "errno")
				w.gaps = true
				after := rapid.IntRange(0, 3).Draw(t, "after")
				w.disk.SetFail(func(o, name string) error {
					if o != op {
						return nil
					}
					if after--; after < 0 {
						return errno
					}
					return nil
				})
				p := piece()
				off, b := w.f.piece(p)
				err := w.s.WriteAt(b, off)
				if err == nil {
					w.s.MarkVerified(p)
					w.marked.Add(p)
					err = w.s.Flush()
				}
				w.disk.SetFail(nil)
				if err == nil {
					w.flushed = w.marked.Clone()
					return
				}
				var e *Error
				if !errors.As(err, &e) || e.Path == "" || errors.Is(errno, syscall.ENOSPC) && e.Kind != Full {
					t.Fatalf("%#v", err)
				}
				have, err := w.s.Recheck(t.Context())
				must(t, err)
				if w.marked.AnyNotIn(have) {
					t.Fatal("a fault lost written data")
				}
			},
			"foreign": func(*rapid.T) {
				i := rapid.IntRange(0, len(w.f.info.Files)-1).Draw(t, "file")
				dl := w.disk.Sub("dl")
				for _, name := range []string{w.s.part(i), w.s.final(i)} {
					file, err := dl.Open(name, os.O_RDWR, 0)
					if err != nil {
						continue
					}
					fi, err := file.Stat()
					must(t, err)
					if fi.Size() == 0 {
						continue
					}
					at := rapid.Int64Range(0, fi.Size()-1).Draw(t, "at")
					if rapid.Bool().Draw(t, "cut") {
						must(t, file.Truncate(at))
						if rapid.Bool().Draw(t, "extend") {
							must(t, file.Truncate(fi.Size()))
						}
					} else {
						_, err := file.WriteAt([]byte{0}, at) // outside the torrent's data
						must(t, err)
					}
				}
				// Whichever operation notices it, Recheck determines what is left.
				for range rapid.IntRange(0, 3).Draw(t, "work") {
					p := piece()
					off, b := w.f.piece(p)
					unwanted(p)
					if w.s.WriteAt(b, off) == nil {
						w.s.MarkVerified(p)
					}
				}
				if rapid.Bool().Draw(t, "flushed") {
					_ = w.s.Flush()
				}
				w.flushed, w.gaps, w.overwrite = bitset.New(n), true, true
				have, err := w.s.Recheck(t.Context())
				if !w.s.o.Overwrite { // a changed file may no longer be recognised as ours
					w.reopen(w.flushed)
					return
				}
				must(t, err)
				w.marked = have
				w.proven()
			},
			"": func(*rapid.T) { w.proven() },
		})
		// At the end everything wanted completes.
		for p := range w.f.info.Wanted(w.sel).All() {
			put(p)
		}
		must(t, w.s.Finish())
		w.proven()
		for i, file := range w.f.info.Files {
			fi, err := w.disk.Sub("dl").Lstat(w.s.final(i))
			wanted := w.sel == nil
			for _, k := range w.sel {
				wanted = wanted || k == i
			}
			if wanted && (err != nil || fi.Size() != file.Length) {
				t.Fatalf("file %d has no final name", i)
			}
		}
		flush()
		if w.record {
			w.cut(dice)
		}
		must(t, w.s.Close())
	})
}
