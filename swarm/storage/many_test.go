package storage

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
)

// manyFixture is a torrent of n files of 100 bytes to 10 KB, evenly distributed on a
// logarithmic scale, in folders of a hundred.
func manyFixture(t tb, n int, format metainfo.Format) (*metainfo.Info, []byte) {
	t.Helper()
	plan := metainfo.Plan{Name: "many", PieceLength: 16 << 10, Format: format}
	dice := rand.New(rand.NewPCG(1, 2))
	for k := range n {
		size := int64(100 << dice.IntN(7))
		plan.Files = append(plan.Files, metainfo.PlanFile{Path: []string{fmt.Sprintf("d%05d", k/100), fmt.Sprintf("f%07d.txt", k)}, Length: size + dice.Int64N(size)})
	}
	d, err := metainfo.NewDraft(plan)
	must(t, err)
	layout := d.Layout()
	data := make([]byte, layout.Length)
	for s := range layout.Spans(0, layout.Length) {
		if f := &layout.Files[s.File]; !f.Pad {
			for k := range f.Length {
				data[f.Offset+k] = byte(dice.Uint32())
			}
		}
	}
	digests := make([]metainfo.Digest, layout.NumPieces())
	for p := range digests {
		h := d.NewPieceHash(p)
		_, _ = h.Write(data[int64(p)*layout.PieceLength:][:layout.DataSize(p)])
		digests[p] = h.Digest()
	}
	info, err := d.Finish(digests)
	must(t, err)
	return info, data
}

// onModel opens a torrent on a disk that counts operations.
func onModel(t *testing.T, info *metainfo.Info, disk *simnet.Disk) (s *Storage, count func() map[string]int) {
	t.Helper()
	var mu sync.Mutex
	n := map[string]int{}
	disk.SetFail(func(op, _ string) error {
		mu.Lock()
		n[op]++
		mu.Unlock()
		return nil
	})
	s = open(t, Options{Dir: "dl", Info: info, Record: "st/resume", Handles: handles(t, 100), Steps: new(atomic.Int64),
		OpenDisk: func(dir string, _ bool) (Disk, error) { return modelDisk{disk.Sub(filepath.Base(dir))}, nil }})
	return s, func() map[string]int {
		mu.Lock()
		defer mu.Unlock()
		defer clear(n)
		return maps.Clone(n)
	}
}

// Saving costs in proportion to what changed since the last time, and nothing if nothing
// changed, however many files there are.
func TestSavingCostsWhatChanged(t *testing.T) {
	var costs []map[string]int
	for _, files := range []int{200, 2000} {
		info, data := manyFixture(t, files, metainfo.V1)
		disk := simnet.NewDisk()
		put := func(s *Storage, p int) {
			off := int64(p) * info.PieceLength
			must(t, s.WriteAt(data[off:][:info.DataSize(p)], off))
			s.MarkVerified(p)
		}
		s, count := onModel(t, info, disk)
		for p := range info.NumPieces() {
			put(s, p)
		}
		must(t, s.Finish())
		count()
		must(t, s.Close())
		if n := count(); n["sync"] > 3 || n["open"] > 5 {
			t.Fatalf("%d files, all new: %v", files, n)
		}
		if s.o.Steps.Load() < int64(files) {
			t.Fatal(s.o.Steps.Load(), "steps were counted")
		}
		// Opened again, with nothing to do.
		s, count = onModel(t, info, disk)
		if !s.Have().Full() || s.NeedsCheck() {
			t.Fatal("not everything is trusted")
		}
		must(t, s.Finish())
		count()
		must(t, s.Close())
		if n := count(); len(n) > 0 {
			t.Fatalf("%d files, nothing to do: %v", files, n)
		}
		// One piece is rewritten.
		s, count = onModel(t, info, disk)
		must(t, s.WriteAt(data[:100], 0))
		must(t, s.Finish())
		count()
		must(t, s.Close())
		costs = append(costs, count())
	}
	for op, n := range costs[1] {
		if n > costs[0][op] {
			t.Errorf("ten times as many files cost %d instead of %d times %s", n, costs[0][op], op)
		}
	}
}

// A check of files that may be ours takes memory in proportion to their number: it does
// not scan all pieces for each of them.
func TestFoundFolderIsCheckedInLinearTime(t *testing.T) {
	var took []uint64
	for _, files := range []int{500, 5000} {
		info, data := manyFixture(t, files, metainfo.Hybrid)
		disk := simnet.NewDisk()
		for s := range info.Spans(0, info.Length) {
			f := &info.Files[s.File]
			if f.Pad {
				continue
			}
			dir := disk.Sub("dl")
			must(t, dir.MkdirAll(filepath.Join(info.Name, f.Path[0])))
			out, err := dir.Open(filepath.Join(info.Name, filepath.Join(f.Path...)), os.O_CREATE|os.O_RDWR, 0o666)
			must(t, err)
			_, err = out.WriteAt(data[f.Offset:][:f.Length], 0)
			must(t, err)
		}
		s, _ := onModel(t, info, disk)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		have, err := s.CheckDoubtful(t.Context(), nil)
		runtime.ReadMemStats(&after)
		must(t, err)
		if !have.Full() {
			t.Fatal("not everything is correct")
		}
		took = append(took, after.TotalAlloc-before.TotalAlloc)
	}
	if 2*took[1] > 21*took[0] {
		t.Errorf("500 files took %d bytes of memory, 5,000 took %d", took[0], took[1])
	}
}

// BenchmarkManyFiles compares storing 10,000 small files with the minimum for any
// program: open, write, close and rename each. Finish is the point at which get reports
// "complete".
func BenchmarkManyFiles(b *testing.B) {
	const n = 10000
	for _, format := range []metainfo.Format{metainfo.V1, metainfo.Hybrid} {
		info, data := manyFixture(b, n, format)
		b.Run(format.String(), func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				top := b.TempDir()
				b.StartTimer()
				h := NewHandles(0)
				s := open(b, Options{Dir: top, Info: info, Record: filepath.Join(top, "state", "resume"), Handles: h})
				for p := range info.NumPieces() {
					off := int64(p) * info.PieceLength
					must(b, s.WriteAt(data[off:][:info.DataSize(p)], off))
					s.MarkVerified(p)
				}
				must(b, s.Finish())
				b.StopTimer()
				must(b, s.Close())
				h.Close()
				must(b, os.RemoveAll(top))
				b.StartTimer()
			}
		})
		b.Run(format.String()+" plain", func(b *testing.B) {
			for b.Loop() {
				b.StopTimer()
				top := b.TempDir()
				b.StartTimer()
				for i := range info.Files {
					f := &info.Files[i]
					if f.Pad {
						continue
					}
					name := filepath.Join(top, filepath.Join(f.Path...))
					if i == 0 || filepath.Dir(name) != filepath.Join(top, info.Files[i-1].Path[0]) {
						must(b, os.MkdirAll(filepath.Dir(name), 0o777))
					}
					must(b, os.WriteFile(name+".part", data[f.Offset:][:f.Length], 0o666))
					must(b, os.Rename(name+".part", name))
				}
				b.StopTimer()
				must(b, os.RemoveAll(top))
				b.StartTimer()
			}
		})
	}
}
