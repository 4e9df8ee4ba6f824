package storage

import (
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"seedbed/internal/bitset"
	"seedbed/internal/id"
)

func sampleRecord(pieces, files int) *record {
	r := &record{hash: id.ID{1, 2, 3}, dir: "/home/me/Downloads", synced: bitset.New(pieces), written: bitset.New(pieces)}
	for p := range pieces {
		switch p % 3 {
		case 0:
			r.synced.Add(p)
		case 1:
			r.written.Add(p)
		}
	}
	for i := range files {
		r.files = append(r.files, fileRecord{place(i % 3), int64(i) * 1000, int64(i) * 7})
	}
	return r
}

func TestRecordRoundTrip(t *testing.T) {
	for _, n := range []int{1, 7, 8, 65} {
		r := sampleRecord(n, n)
		got, err := parseRecord(r.append(nil), r.hash, n, n)
		must(t, err)
		if !bytes.Equal(got.append(nil), r.append(nil)) || got.dir != r.dir || !slices.Equal(got.files, r.files) {
			t.Fatal(n)
		}
	}
}

func TestTruncatedDamagedOrForeignRecordIsRejected(t *testing.T) {
	r := sampleRecord(20, 3)
	b := r.append(nil)
	var bad *RecordError
	for n := range b {
		if _, err := parseRecord(b[:n], r.hash, 20, 3); !errors.As(err, &bad) {
			t.Fatal("cut at", n, err)
		}
		c := slices.Clone(b)
		c[n] ^= 1
		if _, err := parseRecord(c, r.hash, 20, 3); !errors.As(err, &bad) {
			t.Fatal("changed at", n, err)
		}
	}
	for name, err := range map[string]error{
		"longer":     second(parseRecord(append(slices.Clone(b), 0), r.hash, 20, 3)),
		"infohash":   second(parseRecord(b, id.ID{9}, 20, 3)),
		"pieces":     second(parseRecord(b, r.hash, 21, 3)),
		"files":      second(parseRecord(b, r.hash, 20, 4)),
		"both lists": second(parseRecord((&record{hash: r.hash, synced: r.synced, written: r.synced, files: r.files}).append(nil), r.hash, 20, 3)),
		"place":      second(parseRecord((&record{hash: r.hash, synced: r.synced, written: r.written, files: []fileRecord{{place: 3}}}).append(nil), r.hash, 20, 1)),
		"size":       second(parseRecord((&record{hash: r.hash, synced: r.synced, written: r.written, files: []fileRecord{{size: -1}}}).append(nil), r.hash, 20, 1)),
	} {
		if !errors.As(err, &bad) {
			t.Error(name, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestBadRecordMeansCheck(t *testing.T) {
	f := small(t)
	dir, rec := t.TempDir(), filepath.Join(t.TempDir(), "resume")
	o := Options{Dir: dir, Info: f.info, Record: rec, Handles: handles(t, 10)}
	s := open(t, o)
	f.put(t, s, 0, 3)
	must(t, s.Close())
	b, err := os.ReadFile(rec)
	must(t, err)
	if len(b) != recordSize(f.info, dir) {
		t.Fatal(len(b))
	}
	b[30] ^= 1
	must(t, os.WriteFile(rec, b, 0o600))
	s = open(t, o)
	if s.RecordError() == nil || !s.NeedsCheck() || s.Have().Count() != 0 {
		t.Fatal("a damaged record was used")
	}
	have, err := s.CheckDoubtful(t.Context(), nil)
	must(t, err)
	if have.Count() != 2 || !have.Has(0) || !have.Has(3) {
		t.Fatal(have.Count())
	}
	must(t, s.Close())
	// In another folder the record does not apply.
	o.Dir = t.TempDir()
	s = open(t, o)
	if s.RecordError() == nil || s.NeedsCheck() || s.Have().Count() != 0 {
		t.Fatal("a record of another folder was used")
	}
}

func FuzzRecord(f *testing.F) {
	f.Add(sampleRecord(20, 3).append(nil))
	f.Add(sampleRecord(1, 1).append(nil))
	f.Add([]byte(recordMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		for _, shape := range [][2]int{{20, 3}, {1, 1}} {
			check := func(b []byte) {
				r, err := parseRecord(b, id.ID{1, 2, 3}, shape[0], shape[1])
				var bad *RecordError
				if err != nil && !errors.As(err, &bad) {
					t.Fatalf("%#v", err)
				}
				if err == nil && !bytes.Equal(r.append(nil), b) {
					t.Fatal("not canonical")
				}
			}
			check(b)
			check(append(slices.Clone(b), checksum(b)...)) // a fuzzer cannot guess checksums
		}
	})
}
