package storage

import (
	"context"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"seedbed/magnet/metainfo"
)

const benchSize = 256 << 20

func benchFixture(b *testing.B, pieceLength int64) fixture {
	return newFixture(b, pieceLength, []string{"x/a", "x/b", "c"}, []int64{benchSize / 2, benchSize / 4, benchSize / 4})
}

// BenchmarkCheck compares a check of data in the page cache with hashing the same amount
// of memory on as many cores.
func BenchmarkCheck(b *testing.B) {
	for name, length := range map[string]int64{"1 MiB pieces": 1 << 20, "16 KiB pieces": 16 << 10} {
		b.Run(name, func(b *testing.B) { benchmarkCheck(b, length) })
	}
}

func benchmarkCheck(b *testing.B, pieceLength int64) {
	f := benchFixture(b, pieceLength)
	dir := b.TempDir()
	h := NewHandles(10)
	defer h.Close()
	s := open(b, Options{Dir: dir, Info: f.info, Handles: h})
	for p := range f.info.NumPieces() {
		f.put(b, s, p)
	}
	must(b, s.Finish())
	must(b, s.Flush())
	b.Run("check", func(b *testing.B) {
		b.SetBytes(benchSize)
		b.ReportAllocs()
		for b.Loop() {
			have, err := s.Check(context.Background(), nil)
			if err != nil || !have.Full() {
				b.Fatal(err)
			}
		}
	})
	b.Run("bare SHA-1", func(b *testing.B) { bareHash(b, f.data, func(p []byte) { sha1.Sum(p) }) })
	must(b, s.Close())
}

// bareHash hashes benchSize bytes of memory on all cores, 1 MiB at a time.
func bareHash(b *testing.B, data []byte, hash func([]byte)) {
	b.SetBytes(benchSize)
	for b.Loop() {
		var wg sync.WaitGroup
		n := runtime.GOMAXPROCS(0)
		for c := range n {
			wg.Go(func() {
				for off := c << 20; off < benchSize; off += n << 20 {
					hash(data[off : off+1<<20])
				}
			})
		}
		wg.Wait()
	}
}

// BenchmarkWrite compares WriteAt with bare positioned writes of the same size.
func BenchmarkWrite(b *testing.B) {
	const n = 64 << 20
	block := make([]byte, 256<<10)
	plan := metainfo.Plan{Name: "z", PieceLength: 1 << 20, Files: []metainfo.PlanFile{{Length: n}}}
	info := build(b, plan, make([]byte, n))
	b.Run("storage", func(b *testing.B) {
		b.SetBytes(n)
		b.ReportAllocs()
		h := NewHandles(10)
		defer h.Close()
		for b.Loop() {
			b.StopTimer()
			dir, err := os.MkdirTemp(b.TempDir(), "")
			must(b, err)
			b.StartTimer()
			s := open(b, Options{Dir: dir, Info: info, Handles: h})
			for off := int64(0); off < n; off += int64(len(block)) {
				must(b, s.WriteAt(block, off))
			}
			b.StopTimer()
			h.dropAll(s)
			must(b, os.RemoveAll(dir))
			b.StartTimer()
		}
	})
	for name, size := range map[string]int{"pwrite 64 KiB": 64 << 10, "pwrite 256 KiB": 256 << 10} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(n)
			for b.Loop() {
				path := filepath.Join(b.TempDir(), "f")
				f, err := os.Create(path)
				must(b, err)
				for off := 0; off < n; off += size {
					if _, err := f.WriteAt(block[:size], int64(off)); err != nil {
						b.Fatal(err)
					}
				}
				b.StopTimer()
				must(b, f.Close())
				must(b, os.Remove(path))
				b.StartTimer()
			}
		})
	}
}

// BenchmarkBlock compares reading and writing one block with the plain system calls.
func BenchmarkBlock(b *testing.B) {
	f := newFixture(b, 1<<20, []string{"a", "b"}, []int64{8 << 20, 8 << 20})
	dir := b.TempDir()
	h := NewHandles(10)
	defer h.Close()
	s := open(b, Options{Dir: dir, Info: f.info, Handles: h})
	must(b, s.WriteAt(f.data, 0))
	bare, err := os.OpenFile(filepath.Join(dir, s.part(0)), os.O_RDWR, 0)
	must(b, err)
	defer bare.Close()
	block := make([]byte, 16<<10)
	for name, do := range map[string]func(off int64) error{
		"read/storage":  func(off int64) error { return s.ReadAt(block, off) },
		"read/pread":    func(off int64) error { _, err := bare.ReadAt(block, off); return err },
		"write/storage": func(off int64) error { return s.WriteAt(block, off) },
		"write/pwrite":  func(off int64) error { _, err := bare.WriteAt(block, off); return err },
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(block)))
			for i := int64(0); b.Loop(); i++ {
				must(b, do(i%512<<14))
			}
		})
	}
}

// BenchmarkFinish compares Finish of many small files with renaming each, one after the
// other. Nothing is removed before the end, because creating files on ext4 is slow for
// minutes after others were removed.
func BenchmarkFinish(b *testing.B) {
	const n, size = 5_000, 1000
	names, sizes := make([]string, n), make([]int64, n)
	for i := range names {
		names[i], sizes[i] = fmt.Sprintf("%02d/%05d", i/100, i), size
	}
	f := newFixture(b, 64<<10, names, sizes)
	parent := b.TempDir()
	h := NewHandles(100)
	defer h.Close()
	b.Run("storage", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			dir, err := os.MkdirTemp(parent, "")
			must(b, err)
			s := open(b, Options{Dir: dir, Info: f.info, Handles: h})
			must(b, s.WriteAt(f.data, 0))
			for p := range f.info.NumPieces() {
				s.MarkVerified(p)
			}
			b.StartTimer()
			must(b, s.Finish())
			b.StopTimer()
			h.dropAll(s)
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "us/file")
	})
	b.Run("rename", func(b *testing.B) {
		for range b.N {
			b.StopTimer()
			dir, err := os.MkdirTemp(parent, "")
			must(b, err)
			for _, name := range names {
				path := filepath.Join(dir, name)
				must(b, os.MkdirAll(filepath.Dir(path), 0o777))
				must(b, os.WriteFile(path+".part", f.data[:size], 0o666))
			}
			b.StartTimer()
			for _, name := range names {
				path := filepath.Join(dir, name)
				must(b, os.Rename(path+".part", path))
			}
		}
		b.ReportMetric(float64(b.Elapsed().Microseconds())/float64(b.N)/n, "us/file")
	})
}
