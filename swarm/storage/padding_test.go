package storage

import (
	"context"
	"crypto/sha1"
	"fmt"
	"os"
	"path/filepath"
	"testing"

	"seedbed/magnet/metainfo"
)

// paddingFixture is a torrent of two files with a piece of only padding between them.
func paddingFixture(t *testing.T) fixture {
	const size = 32 << 10
	data := make([]byte, 3*size+5)
	for i := range data {
		if i < 40_000 || i >= 3*size {
			data[i] = byte(i%251) | 1
		}
	}
	sums := ""
	for off := 0; off < len(data); off += size {
		h := sha1.Sum(data[off:min(off+size, len(data))])
		sums += string(h[:])
	}
	raw := "d5:filesl" +
		"d6:lengthi40000e4:pathl1:aee" +
		fmt.Sprintf("d4:attr1:p6:lengthi%de4:pathl4:.pad1:1ee", 2*size-40_000) +
		fmt.Sprintf("d4:attr1:p6:lengthi%de4:pathl4:.pad1:2ee", size) +
		"d6:lengthi5e4:pathl1:bee" +
		fmt.Sprintf("e4:name1:T12:piece lengthi%de6:pieces%d:%se", size, len(sums), sums)
	info, err := metainfo.ParseInfo([]byte(raw))
	if err != nil {
		t.Fatal(err)
	}
	return fixture{info, data}
}

// TestAPieceOfPaddingIsHeld checks that a piece that no file stores is verified from the
// start, after a check and after a restart.
func TestAPieceOfPaddingIsHeld(t *testing.T) {
	f := paddingFixture(t)
	handles := NewHandles(8)
	defer handles.Close()
	dir := t.TempDir()
	o := Options{Dir: filepath.Join(dir, "d"), Info: f.info, Record: filepath.Join(dir, "state", "resume"), Handles: handles}
	for round := range 3 {
		s, err := Open(o)
		if err != nil {
			t.Fatal(err)
		}
		if !s.Have().Has(2) || s.Doubtful().Has(2) {
			t.Fatalf("round %d: the piece of padding is missing or doubtful", round)
		}
		have, err := s.Check(context.Background(), nil)
		if err != nil {
			t.Fatal(err)
		}
		if want := 1 + 3*min(round, 1); have.Count() != want {
			t.Fatalf("round %d: %d pieces after a check, not %d", round, have.Count(), want)
		}
		if b := make([]byte, 100); s.ReadAt(b, 2*32<<10) != nil || b[0] != 0 || b[99] != 0 {
			t.Fatal("padding is not read as zeros")
		}
		if round == 0 {
			f.put(t, s, 0, 1, 3)
			if err := s.Finish(); err != nil {
				t.Fatal(err)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := os.ReadDir(filepath.Join(o.Dir, "T"))
	if err != nil || len(entries) != 2 {
		t.Errorf("%v, %v", entries, err)
	}
	o.ReadOnly, o.Record = true, ""
	s, err := Open(o)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	have, err := s.CheckDoubtful(context.Background(), nil)
	if err != nil || !have.Full() {
		t.Errorf("shared read-only: %d of 4 pieces, %v", have.Count(), err)
	}
}
