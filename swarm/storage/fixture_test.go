package storage

import (
	"crypto/sha1"
	"math/rand/v2"
	"testing"

	"seedbed/magnet/metainfo"
)

// fixture is a torrent and its bytes.
type fixture struct {
	info *metainfo.Info
	data []byte
}

type tb interface {
	Helper()
	Fatal(...any)
	Fatalf(string, ...any)
}

// newFixture returns a torrent of random bytes; names and lengths describe its files. A
// single file makes a single-file torrent.
func newFixture(t tb, pieceLength int64, names []string, lengths []int64) fixture {
	t.Helper()
	plan := metainfo.Plan{Name: "T", PieceLength: pieceLength}
	if len(names) == 1 {
		plan.Name = names[0]
	}
	var total int64
	for i, n := range names {
		path := []string{n}
		if d, f, ok := cutPath(n); ok {
			path = []string{d, f}
		}
		plan.Files = append(plan.Files, metainfo.PlanFile{Path: path, Length: lengths[i]})
		total += lengths[i]
	}
	data := make([]byte, total)
	r := rand.New(rand.NewPCG(uint64(total), uint64(len(names))))
	for i := range data {
		data[i] = byte(r.Uint32() | 1)
	}
	return fixture{build(t, plan, data), data}
}

func cutPath(n string) (dir, file string, ok bool) {
	for i := range n {
		if n[i] == '/' {
			return n[:i], n[i+1:], true
		}
	}
	return "", n, false
}

func build(t tb, plan metainfo.Plan, data []byte) *metainfo.Info {
	t.Helper()
	var hashes []byte
	for off := int64(0); off < int64(len(data)); off += plan.PieceLength {
		h := sha1.Sum(data[off:min(off+plan.PieceLength, int64(len(data)))])
		hashes = append(hashes, h[:]...)
	}
	info, err := metainfo.Build(plan, hashes)
	if err != nil {
		t.Fatal(err)
	}
	return info
}

func (f fixture) piece(p int) (off int64, b []byte) {
	off = int64(p) * f.info.PieceLength
	return off, f.data[off : off+f.info.PieceSize(p)]
}

// put writes pieces and marks them.
func (f fixture) put(t tb, s *Storage, pieces ...int) {
	t.Helper()
	for _, p := range pieces {
		off, b := f.piece(p)
		if err := s.WriteAt(b, off); err != nil {
			t.Fatal(err)
		}
		s.MarkVerified(p)
	}
}

func handles(t *testing.T, n int) *Handles {
	h := NewHandles(n)
	t.Cleanup(h.Close)
	return h
}

func must(t tb, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func open(t tb, o Options) *Storage {
	t.Helper()
	s, err := Open(o)
	must(t, err)
	return s
}

// endOfProcess releases the lock of a storage that stays open, as the end of its process
// would.
func endOfProcess(s *Storage) {
	s.places.Lock()
	defer s.places.Unlock()
	s.unlock()
}
