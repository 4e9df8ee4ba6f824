package storage

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/internal/bitset"
)

// claimRig is the data of another client and the claim about it.
type claimRig struct {
	fixture
	t     *testing.T
	dir   string
	claim Claim
	o     Options
}

// newClaimRig returns data with every file complete under its own name.
func newClaimRig(t *testing.T) *claimRig {
	f := newFixture(t, 1<<10, []string{"a", "sub/b", "c"}, []int64{500 << 10, 30, 100 << 10})
	r := &claimRig{fixture: f, t: t, dir: t.TempDir()}
	r.claim = Claim{Pieces: bitset.New(f.info.NumPieces()), Files: make([]ClaimedFile, len(f.info.Files)), Suffix: ".part"}
	r.claim.Pieces.Fill()
	r.o = Options{Dir: r.dir, Info: f.info, Record: filepath.Join(t.TempDir(), "resume"), Handles: NewHandles(0)}
	for i := range f.info.Files {
		r.claim.Files[i].Until = time.Now().Unix()
		r.write(i, r.path(i), f.info.Files[i].Length)
	}
	return r
}

func (r *claimRig) path(i int) string {
	return filepath.Join(r.dir, "T", filepath.Join(r.info.Files[i].Path...))
}

// write writes the first bytes of a file, an hour ago.
func (r *claimRig) write(i int, path string, n int64) {
	r.t.Helper()
	at := r.info.Files[i].Offset
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.t.Fatal(err)
	}
	if err := os.WriteFile(path, r.data[at:at+n], 0o644); err != nil {
		r.t.Fatal(err)
	}
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(path, old, old); err != nil {
		r.t.Fatal(err)
	}
}

func (r *claimRig) adopt() Adopted {
	r.t.Helper()
	a, err := Adopt(context.Background(), r.o, &r.claim)
	if err != nil {
		r.t.Fatal(err)
	}
	return a
}

// proven returns how many pieces a later Open has without hashing anything.
func (r *claimRig) proven() int {
	r.t.Helper()
	s, err := Open(r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	defer s.Close()
	if n := s.Doubtful().Count(); n > 0 && s.Have().Count() > 0 {
		r.t.Errorf("%d pieces are doubtful", n)
	}
	return s.Have().Count()
}

// checked returns how many pieces a later Open has after a check.
func (r *claimRig) checked() int {
	r.t.Helper()
	s, err := Open(r.o)
	if err != nil {
		r.t.Fatal(err)
	}
	defer s.Close()
	have, err := s.CheckDoubtful(context.Background(), nil)
	if err != nil {
		r.t.Fatal(err)
	}
	return have.Count()
}

// A torrent whose data is as its claim says is taken over; only a sample is hashed, which has a
// piece of every file.
func TestAdoptTakesOverCompleteData(t *testing.T) {
	r := newClaimRig(t)
	a := r.adopt()
	n := r.info.NumPieces()
	if a.Refused != nil || a.Have.Count() != n || a.Sampled < 6 || a.Sampled > 9 || a.Hashed > int64(a.Sampled)<<10 {
		t.Errorf("%d pieces, %d sampled with %d bytes, refused: %v", a.Have.Count(), a.Sampled, a.Hashed, a.Refused)
	}
	if got := r.proven(); got != n {
		t.Errorf("%d of %d pieces are proven later", got, n)
	}
	if a := r.adopt(); a.Have.Count() != n || a.Sampled != 0 {
		t.Errorf("again: %d pieces, %d sampled", a.Have.Count(), a.Sampled)
	}
}

// An incomplete file gets the name and size for that, whatever the other client calls it, and is
// downloaded further.
func TestAdoptTakesOverIncompleteData(t *testing.T) {
	for _, suffix := range []string{".part", ""} {
		r := newClaimRig(t)
		r.claim.Suffix = suffix
		c := r.path(2)
		if err := os.Remove(c); err != nil {
			t.Fatal(err)
		}
		r.write(2, c+suffix, 50<<10)
		first, end := r.info.PiecesOf(2)
		for p := first + 40; p < end; p++ {
			r.claim.Pieces.Remove(p)
		}
		if a := r.adopt(); a.Refused != nil || a.Have.Count() != first+40 {
			t.Fatalf("suffix %q: %d pieces, refused: %v", suffix, a.Have.Count(), a.Refused)
		}
		if got := r.proven(); got != first+40 {
			t.Errorf("%d of %d pieces are proven later", got, first+40)
		}
		s, err := Open(r.o)
		if err != nil {
			t.Fatal(err)
		}
		for p := range r.info.NumPieces() {
			if !s.Have().Has(p) {
				r.put(t, s, p)
			}
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
		b, err := os.ReadFile(c)
		if err != nil || string(b) != string(r.data[r.info.Files[2].Offset:]) {
			t.Errorf("suffix %q: %d bytes, %v", suffix, len(b), err)
		}
		if _, err := os.Stat(c + ".part"); err == nil {
			t.Error("the file has its old name too")
		}
	}
}

// Renamed files keep their names.
func TestAdoptKeepsNames(t *testing.T) {
	r := newClaimRig(t)
	for i, name := range []string{"other", "x/y/b", ""} {
		if r.claim.Files[i].Name = name; name == "" {
			continue
		}
		to := filepath.Join(r.dir, name)
		if err := os.MkdirAll(filepath.Dir(to), 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(r.path(i), to); err != nil {
			t.Fatal(err)
		}
	}
	n := r.info.NumPieces()
	if a := r.adopt(); a.Refused != nil || a.Have.Count() != n {
		t.Errorf("%d pieces, refused: %v", a.Have.Count(), a.Refused)
	}
	if got := r.proven(); got != n {
		t.Errorf("%d of %d pieces are proven later", got, n)
	}
}

// Where anything differs from the claim, nothing of the claim is used, and a check finds what is
// there.
func TestAdoptRefusesWhatDiffers(t *testing.T) {
	for _, tc := range []struct {
		name, why string
		spoil     func(*claimRig)
		good      int // pieces of 601
	}{
		{"changed", "has changed since", func(r *claimRig) { r.claim.Files[0].Until = time.Now().Unix() - 3601 }, 601},
		{"wrong data", "is not as the other client says", func(r *claimRig) {
			if err := os.WriteFile(r.path(1), make([]byte, 30), 0o644); err != nil {
				r.t.Fatal(err)
			}
		}, 600},
		{"shorter", "is shorter", func(r *claimRig) { r.write(0, r.path(0), 300<<10) }, 401},
		{"missing file", "is not there", func(r *claimRig) { os.Remove(r.path(1)) }, 600},
		{"another torrent", "another torrent", func(r *claimRig) { r.claim.Pieces = bitset.New(5) }, 601},
	} {
		t.Run(tc.name, func(t *testing.T) {
			r := newClaimRig(t)
			tc.spoil(r)
			a := r.adopt()
			if a.Refused == nil || !strings.Contains(a.Refused.Error(), tc.why) || a.Have.Count() != 0 {
				t.Errorf("%d pieces, refused: %v", a.Have.Count(), a.Refused)
			}
			if got := r.checked(); got != tc.good {
				t.Errorf("a check finds %d pieces, not %d", got, tc.good)
			}
		})
	}
}

// Without any file, the folder is probably not mounted: nothing is created.
func TestAdoptFailsWithoutData(t *testing.T) {
	r := newClaimRig(t)
	if err := os.RemoveAll(filepath.Join(r.dir, "T")); err != nil {
		t.Fatal(err)
	}
	if _, err := Adopt(context.Background(), r.o, &r.claim); kindOf(err) != Vanished {
		t.Error(err)
	}
	if _, err := os.Stat(filepath.Join(r.dir, "T")); err == nil {
		t.Error("the folder was created")
	}
	r.o.Dir = filepath.Join(r.dir, "not mounted")
	if _, err := Adopt(context.Background(), r.o, &r.claim); kindOf(err) != Vanished {
		t.Error(err)
	}
	if _, err := os.Stat(r.o.Dir); err == nil {
		t.Error("the download folder was created")
	}
}

// A file that the other client has created, but of which it has no piece, is incomplete.
func TestAdoptTakesOverEmptyFiles(t *testing.T) {
	r := newClaimRig(t)
	r.claim.Suffix = ""
	if err := os.WriteFile(r.path(2), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(r.path(2), r.info.Files[2].Length); err != nil {
		t.Fatal(err)
	}
	for p := 500; p < r.info.NumPieces(); p++ {
		r.claim.Pieces.Remove(p)
	}
	if a := r.adopt(); a.Refused != nil || a.Have.Count() != 500 {
		t.Errorf("%d pieces, refused: %v", a.Have.Count(), a.Refused)
	}
	if got := r.proven(); got != 500 {
		t.Errorf("%d of 500 pieces are proven later", got)
	}
}

// Data behind a symbolic link is not taken over.
func TestAdoptRefusesLinks(t *testing.T) {
	r := newClaimRig(t)
	if err := errors.Join(os.Remove(r.path(2)), os.Symlink(r.path(0), r.path(2))); err != nil {
		t.Fatal(err)
	}
	if _, err := Adopt(context.Background(), r.o, &r.claim); !errors.Is(err, ErrLinked) {
		t.Error(err)
	}
}

// A name outside of the download folder is an error.
func TestAdoptRefusesNamesOutside(t *testing.T) {
	for _, name := range []string{"../a", "/etc/a", "x/../../a"} {
		r := newClaimRig(t)
		r.claim.Files[0].Name = name
		if _, err := Adopt(context.Background(), r.o, &r.claim); err == nil || !strings.Contains(err.Error(), "outside of the download folder") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// The pieces that a wanted file shares with one that is not wanted are in libtorrent's part file.
func TestAdoptReadsPartFiles(t *testing.T) {
	r := newClaimRig(t)
	if err := errors.Join(os.Remove(r.path(1)), os.Remove(r.path(2))); err != nil {
		t.Fatal(err)
	}
	r.info = newFixture(t, 1<<10, []string{"a", "b"}, []int64{500<<10 + 100, 100 << 10}).info
	r.fixture = newFixture(t, 1<<10, []string{"a", "b"}, []int64{500<<10 + 100, 100 << 10})
	n := r.info.NumPieces()
	r.claim = Claim{Pieces: bitset.New(n), Files: r.claim.Files[:2], Parts: ".hash.parts"}
	for p := range 501 {
		r.claim.Pieces.Add(p)
	}
	r.o.Info, r.o.Select = r.info, []int{0}
	r.write(0, r.path(0), r.info.Files[0].Length)
	head := make([]byte, (4*(n+2)+1023)&^1023)
	for i := range n + 2 {
		binary.BigEndian.PutUint32(head[4*i:], 1<<32-1)
	}
	binary.BigEndian.PutUint32(head, uint32(n))
	binary.BigEndian.PutUint32(head[4:], 1<<10)
	binary.BigEndian.PutUint32(head[8+4*500:], 1) // slot 0 is free
	_, last := r.piece(500)
	slots := append(make([]byte, 1<<10+100), last[100:]...)
	parts := filepath.Join(r.dir, ".hash.parts")
	if err := os.WriteFile(parts, append(head, slots...), 0o644); err != nil {
		t.Fatal(err)
	}
	if a := r.adopt(); a.Refused != nil || a.Have.Count() != 501 {
		t.Errorf("%d pieces, refused: %v", a.Have.Count(), a.Refused)
	}
	if got := r.proven(); got != 501 {
		t.Errorf("%d of 501 pieces are proven later", got)
	}
	if _, err := os.Stat(r.path(1)); err == nil {
		t.Error("the file that is not wanted was created")
	}
}
