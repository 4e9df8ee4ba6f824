package storage

import "testing"

// Complete waits for every piece and for every final name.
func TestCompleteWaitsForPiecesAndNames(t *testing.T) {
	f := newFixture(t, 16<<10, []string{"a", "b"}, []int64{40000, 30000})
	s := open(t, Options{Info: f.info, Dir: t.TempDir(), Handles: handles(t, 4)})
	defer s.Close()
	want := func(complete bool, when string) {
		t.Helper()
		if done, err := s.Complete(); err != nil || done != complete {
			t.Errorf("%s: complete is %t, %v", when, done, err)
		}
	}
	last := f.info.NumPieces() - 1
	for p := range last {
		f.put(t, s, p)
	}
	must(t, s.Finish())
	want(false, "a piece is lacking")
	f.put(t, s, last)
	want(false, "a file has no final name yet")
	must(t, s.Finish())
	want(true, "all is there")
	s.mu.Lock()
	s.doubtPiece(0)
	s.mu.Unlock()
	want(false, "a piece is doubtful")
}
