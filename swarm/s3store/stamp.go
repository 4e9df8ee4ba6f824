package s3store

import (
	"context"
	"crypto/sha256"
	"encoding/binary"

	"seedbed/internal/objectstore"
	"seedbed/swarm/create"
)

// stampOf returns what shows whether an object has changed: its size, its time, and in place of the time of an inode a hash of its
// ETag.
func stampOf(o objectstore.Object) create.Stamp {
	sum := sha256.Sum256([]byte(o.ETag))
	return create.Stamp{Size: o.Size, Modified: o.Modified.UnixNano(), Changed: int64(binary.LittleEndian.Uint64(sum[:]))}
}

// FingerprintOf returns the fingerprint of the objects that Make would include. It lists them, and does not read them.
func FingerprintOf(ctx context.Context, store *objectstore.Store, o MakeOptions) (create.Fingerprint, error) {
	o.Warn = nil
	m := newMaker(store, o)
	if err := m.list(ctx); err != nil {
		return create.Fingerprint{}, err
	}
	return m.fingerprint(), nil
}

func (m *maker) fingerprint() create.Fingerprint {
	h := sha256.New()
	var b []byte
	for _, o := range m.objects {
		s := stampOf(o)
		b = binary.AppendUvarint(b[:0], uint64(len(o.Name)))
		b = append(b, o.Name...)
		for _, n := range []int64{s.Size, s.Modified, s.Changed} {
			b = binary.AppendVarint(b, n)
		}
		_, _ = h.Write(b) // a hash never fails
	}
	return create.Fingerprint(h.Sum(nil))
}
