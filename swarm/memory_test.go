package swarm

import (
	"context"
	"crypto/sha1"
	"errors"
	"math/rand/v2"
	"sync"
	"testing"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
)

// memStorage keeps a torrent's bytes in memory, and simulates a full disk.
type memStorage struct {
	info *metainfo.Info

	mu       sync.Mutex
	data     []byte
	verified bitset.Set
	fail     error // error of writes and checks
	failRead error
	failSync error
	flushes  int
	finished bool
	renaming chan struct{} // if it is not nil, Finish waits until it is closed
	closed   bool
	writes   int
}

func newMem(info *metainfo.Info) *memStorage {
	return &memStorage{info: info, data: make([]byte, info.Length), verified: bitset.New(info.NumPieces())}
}

func (m *memStorage) ReadAt(b []byte, off int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failRead != nil {
		return m.failRead
	}
	copy(b, m.data[off:off+int64(len(b))])
	return nil
}

func (m *memStorage) WriteAt(b []byte, off int64) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	m.writes++
	copy(m.data[off:off+int64(len(b))], b)
	return nil
}

func (m *memStorage) MarkChunk(int, uint32, []byte) {}

func (m *memStorage) MarkVerified(p int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	off := int64(p) * m.info.PieceLength
	h := m.info.NewPieceHash(p)
	_, _ = h.Write(m.data[off : off+m.info.DataSize(p)])
	if h.Digest() != m.info.Digest(p) {
		panic("an unwritten or wrong piece was marked verified")
	}
	m.verified.Add(p)
}

func (m *memStorage) Flush() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.failSync != nil {
		return m.failSync
	}
	m.flushes++
	return nil
}

func (m *memStorage) Finish() error {
	if m.renaming != nil {
		<-m.renaming
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	m.finished = true
	return nil
}

func (m *memStorage) Complete() (bool, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.finished, nil
}

func (m *memStorage) Recheck(context.Context) (bitset.Set, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := errors.Join(m.fail, m.failRead, m.failSync); err != nil {
		return bitset.Set{}, err
	}
	return m.verified.Clone(), nil
}

func (m *memStorage) Close() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.closed {
		panic("storage closed twice")
	}
	m.closed = true
	return nil
}

func (m *memStorage) breakWrites(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.fail = err
}

func (m *memStorage) breakFlush(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.failSync = err
}

// makeContent returns random content: its info dictionary and a storage that holds all of
// it.
func makeContent(t testing.TB, size, pieceLength int64) (*metainfo.Info, *memStorage) {
	t.Helper()
	data := make([]byte, size)
	src := rand.NewChaCha8([32]byte{byte(size), byte(pieceLength >> 14)})
	src.Read(data)
	var hashes []byte
	for off := int64(0); off < size; off += pieceLength {
		h := sha1.Sum(data[off:min(size, off+pieceLength)])
		hashes = append(hashes, h[:]...)
	}
	info, err := metainfo.Build(metainfo.Plan{Name: "x", PieceLength: pieceLength,
		Files: []metainfo.PlanFile{{Path: []string{"x"}, Length: size}}}, hashes)
	if err != nil {
		t.Fatal(err)
	}
	m := newMem(info)
	m.data = data
	m.verified.Fill()
	return info, m
}

// copy returns the same content in a separate storage.
func (m *memStorage) copy() *memStorage {
	return &memStorage{info: m.info, data: m.data, verified: m.verified.Clone()}
}
