package s3store

import (
	"os"
	"path/filepath"
	"testing"

	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// Reading 16 KiB that is in the cache, and from a local file.
func BenchmarkReads(b *testing.B) {
	const size, block = 64 << 20, 16 << 10
	l := newLab(b, metainfo.V1, size)
	l.open()
	defer l.close()
	if _, err := l.read(0, size); err != nil {
		b.Fatal(err)
	}
	dir := b.TempDir()
	if err := os.WriteFile(filepath.Join(dir, l.info.Name), l.data, 0o600); err != nil {
		b.Fatal(err)
	}
	local, err := storage.Open(storage.Options{Dir: dir, Info: l.info, Handles: l.handles})
	if err != nil {
		b.Fatal(err)
	}
	defer local.Close()
	buffer := make([]byte, block)
	b.Run("cache", func(b *testing.B) {
		b.SetBytes(block)
		for i := range b.N {
			off := int64(i) * block % size
			if !l.Fetch(off, block, nil, nil) {
				b.Fatal("it is not in the cache")
			}
			if err := l.ReadAt(buffer, off); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("local", func(b *testing.B) {
		b.SetBytes(block)
		for i := range b.N {
			if err := local.ReadAt(buffer, int64(i)*block%size); err != nil {
				b.Fatal(err)
			}
		}
	})
}
