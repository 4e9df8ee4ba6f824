package metainfo

import (
	"crypto/sha1"
	"testing"

	"pgregory.net/rapid"

	"seedbed/internal/hashpair"
)

// The naive implementation appends the zeros and hashes each message separately.
func TestSumsOfPaddedPairsAreTheSumsOfEach(t *testing.T) {
	if !hashpair.Fast() {
		t.Skip("without SHA instructions nothing is hashed in pairs")
	}
	rapid.Check(t, func(t *rapid.T) {
		size := rapid.IntRange(1, 5*BlockSize).Draw(t, "size")
		message := func(name string) (data, padded []byte) {
			padded = make([]byte, size)
			n := rapid.IntRange(0, size).Draw(t, name)
			for k := range n {
				padded[k] = byte(k*7 + k>>8 + n)
			}
			return padded[:n:n], padded
		}
		a, wholeA := message("a")
		b, wholeB := message("b")
		x, y := sumPadded(a, b, int64(size))
		if x != sha1.Sum(wholeA) || y != sha1.Sum(wholeB) {
			t.Fatalf("wrong for %d and %d of %d bytes", len(a), len(b), size)
		}
	})
}

// BenchmarkDigestPair compares two small files of a hybrid torrent, padded to 64 KiB,
// hashed together and one after the other.
func BenchmarkDigestPair(b *testing.B) {
	const size = 64 << 10
	data := make([]byte, size)
	b.Run("pair", func(b *testing.B) {
		b.SetBytes(2 * size)
		for b.Loop() {
			sumPadded(data[:5000], data[:3000], size)
		}
	})
	b.Run("each", func(b *testing.B) {
		b.SetBytes(2 * size)
		for b.Loop() {
			sha1.Sum(data)
			sha1.Sum(data)
		}
	})
}
