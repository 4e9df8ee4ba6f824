package create

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"math/rand/v2"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"testing"

	"seedbed/magnet/metainfo"
)

const benchSize = 256 << 20

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

// BenchmarkMake compares making a torrent of files in the page cache with hashing the
// same amount of memory on as many cores.
func BenchmarkMake(b *testing.B) {
	data := make([]byte, benchSize)
	_, _ = rand.NewChaCha8([32]byte{}).Read(data)
	dir := filepath.Join(b.TempDir(), "made")
	must(b, os.MkdirAll(dir, 0o755))
	for k, name := range []string{"a", "b", "c", "d"} {
		must(b, os.WriteFile(filepath.Join(dir, name), data[k*benchSize/4:(k+1)*benchSize/4], 0o644))
	}
	for _, format := range []metainfo.Format{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		b.Run(format.String(), func(b *testing.B) {
			b.SetBytes(benchSize)
			for b.Loop() {
				_, err := Make(context.Background(), dir, Options{Format: format, PieceLength: 1 << 20})
				must(b, err)
			}
		})
	}
	b.Run("bare SHA-1", func(b *testing.B) { bareHash(b, data, func(p []byte) { sha1.Sum(p) }) })
	b.Run("bare SHA-256", func(b *testing.B) {
		bareHash(b, data, func(p []byte) {
			for ; len(p) > 0; p = p[16<<10:] {
				sha256.Sum256(p[:16<<10])
			}
		})
	})
	b.Run("bare SHA-1 and SHA-256", func(b *testing.B) {
		bareHash(b, data, func(p []byte) {
			sha1.Sum(p)
			for ; len(p) > 0; p = p[16<<10:] {
				sha256.Sum256(p[:16<<10])
			}
		})
	})
}
