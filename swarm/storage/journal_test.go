package storage

import (
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// Written chunks of a piece are found again, and trusted only while their bytes are
// unchanged.
func TestChunksAreFoundAgain(t *testing.T) {
	f := newFixture(t, 256<<10, []string{"a", "b"}, []int64{700 << 10, 100 << 10})
	dir, rec := t.TempDir(), filepath.Join(t.TempDir(), "resume")
	o := Options{Dir: dir, Info: f.info, Record: rec, Handles: handles(t, 10)}
	s := open(t, o)
	chunk := func(p int, begin, n int64) {
		off := int64(p)*f.info.PieceLength + begin
		must(t, s.WriteAt(f.data[off:off+n], off))
		s.MarkChunk(p, uint32(begin), f.data[off:off+n])
	}
	chunk(0, 0, 64<<10)
	chunk(0, 128<<10, 64<<10)
	chunk(1, 64<<10, 64<<10)
	chunk(2, 192<<10, 64<<10) // across both files
	f.put(t, s, 1)
	want := []Chunk{{Piece: 0, Length: 64 << 10}, {Piece: 0, Begin: 128 << 10, Length: 64 << 10}, {Piece: 2, Begin: 192 << 10, Length: 64 << 10}}
	again := func() (list []Chunk) { // as after kill -9: not closed
		endOfProcess(s)
		s = open(t, o)
		have, err := s.CheckDoubtful(t.Context(), nil)
		must(t, err)
		if !have.Has(1) {
			t.Error("the verified piece is lost")
		}
		for _, c := range s.Chunks() {
			c.sum = 0
			list = append(list, c)
		}
		return list
	}
	if got := again(); !slices.Equal(got, want) {
		t.Errorf("%v, not %v", got, want)
	}
	must(t, s.Flush()) // the journal shrinks to what the record does not contain
	if got := again(); !slices.Equal(got, want) {
		t.Errorf("after a flush %v, not %v", got, want)
	}
	must(t, s.WriteAt(make([]byte, 1), 130<<10)) // differs from the journaled byte
	if got := again(); !slices.Equal(got, append(want[:1:1], want[2])) {
		t.Errorf("%v, including a damaged chunk", got)
	}
	for p := range f.info.NumPieces() {
		f.put(t, s, p)
	}
	must(t, s.Finish())
	must(t, s.Close())
	if _, err := os.Stat(rec + journalSuffix); !os.IsNotExist(err) {
		t.Error("an empty journal was left", err)
	}
}

// A piece that is complete but wrong is downloaded completely.
func TestChunksOfABadPieceAreDropped(t *testing.T) {
	f := newFixture(t, 128<<10, []string{"a"}, []int64{128 << 10})
	o := Options{Dir: t.TempDir(), Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: handles(t, 10)}
	s := open(t, o)
	bad := make([]byte, 64<<10)
	for at := int64(0); at < 128<<10; at += 64 << 10 {
		must(t, s.WriteAt(bad, at))
		s.MarkChunk(0, uint32(at), bad)
	}
	endOfProcess(s)
	s = open(t, o)
	_, err := s.CheckDoubtful(t.Context(), nil)
	must(t, err)
	if got := s.Chunks(); len(got) != 0 {
		t.Error(got)
	}
}

func FuzzJournal(f *testing.F) {
	fix := newFixture(f, 256<<10, []string{"a"}, []int64{700 << 10})
	s := &Storage{layout: layout{info: fix.info}}
	whole := s.wholePiece(1)
	part := Chunk{Piece: 2, Begin: 16 << 10, Length: 16 << 10, sum: 7}
	f.Add(whole.append(part.append(s.journalHeader())))
	f.Add(s.journalHeader())
	f.Add([]byte(journalMagic))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, size := parseJournal(b, fix.info)
		if size > int64(len(b)) {
			t.Fatal("size beyond the end")
		}
		for _, c := range list {
			if int64(c.Begin)+int64(c.Length) > fix.info.PieceSize(c.Piece) {
				t.Fatalf("%+v is not a valid chunk", c)
			}
		}
	})
}
