package create

import (
	"crypto/sha256"
	"encoding/binary"
)

// Fingerprint shows whether anything in a folder has changed.
type Fingerprint [sha256.Size]byte

// FingerprintOf returns the fingerprint of the files at path that Make would include. It does not
// read them.
func FingerprintOf(path string, o Options) (f Fingerprint, err error) {
	o.Rules.defaults()
	o.Warn = nil
	list, err := walk(path, &o, nil)
	if err != nil {
		return f, err
	}
	return list.fingerprint(), nil
}

func (l *fileList) fingerprint() Fingerprint {
	h := sha256.New()
	var b []byte
	for i := range l.files {
		e := &l.files[i]
		b = binary.AppendUvarint(b[:0], uint64(len(e.name)))
		b = append(b, e.name...)
		for _, n := range []int64{e.stamp.Size, e.stamp.Modified, e.stamp.Changed} {
			b = binary.AppendVarint(b, n)
		}
		_, _ = h.Write(b) // a hash never fails
	}
	return Fingerprint(h.Sum(nil))
}
