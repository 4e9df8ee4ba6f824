package s3test

import (
	"io"
	"sync"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

// memory is the objects of a Store. The content of some of them is made when it is read, so that it may be larger than the memory.
type memory struct {
	*s3mem.Backend
	mu   sync.Mutex
	made map[string]*io.SectionReader // by name
}

// generated returns the content of an object, or nil if it is in memory.
func (m *memory) generated(name string) *io.SectionReader {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.made[name]
}

// GetObject implements gofakes3.Backend.
func (m *memory) GetObject(bucket, name string, part *gofakes3.ObjectRangeRequest) (*gofakes3.Object, error) {
	from := m.generated(name)
	if from == nil {
		return m.Backend.GetObject(bucket, name, part)
	}
	o, err := m.HeadObject(bucket, name)
	if err != nil {
		return nil, err
	}
	off, n := int64(0), o.Size
	if o.Range, err = part.Range(o.Size); err != nil {
		return nil, err
	}
	if o.Range != nil {
		off, n = o.Range.Start, o.Range.Length
	}
	o.Contents = io.NopCloser(io.NewSectionReader(from, off, n))
	return o, nil
}

// HeadObject implements gofakes3.Backend.
func (m *memory) HeadObject(bucket, name string) (*gofakes3.Object, error) {
	o, err := m.Backend.HeadObject(bucket, name)
	if from := m.generated(name); err == nil && from != nil {
		o.Size = from.Size()
	}
	return o, err
}

// ListBucket implements gofakes3.Backend.
func (m *memory) ListBucket(bucket string, prefix *gofakes3.Prefix, page gofakes3.ListBucketPage) (*gofakes3.ObjectList, error) {
	list, err := m.Backend.ListBucket(bucket, prefix, page)
	if err != nil {
		return nil, err
	}
	for _, c := range list.Contents {
		if from := m.generated(c.Key); from != nil {
			c.Size = from.Size()
		}
	}
	return list, nil
}

// PutGenerated writes an object of any size, past all faults. Its content is read from r when it is asked for, which may happen
// concurrently.
func (s *Store) PutGenerated(name string, r io.ReaderAt, size int64) {
	s.t.Helper()
	s.Put(name, nil)
	s.backend.mu.Lock()
	defer s.backend.mu.Unlock()
	s.backend.made[name] = io.NewSectionReader(r, 0, size)
}
