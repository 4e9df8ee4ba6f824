package storage

import (
	"os"
	"path/filepath"
	"testing"
)

// After another program has moved the folder, the records name the new one: what they prove is not
// hashed again. A second call, as after a kill, changes nothing.
func TestSetFolderKeepsWhatIsProven(t *testing.T) {
	f, r := moved(t)
	if !HasNoneIn(r.Options, r.To) || HasNoneIn(r.Options, r.Dir) {
		t.Error("HasNoneIn is wrong about a folder without the files, or with them")
	}
	must(t, os.Rename(r.Dir, r.To))
	for range 2 {
		must(t, SetFolder(r.Options, r.To))
	}
	if HasNoneIn(r.Options, r.To) {
		t.Error("the files are not found in the new folder")
	}
	if _, err := os.Stat(r.Dir); err == nil {
		t.Error("the old folder was made again")
	}
	o := r.Options
	o.Dir = r.To
	s := open(t, o)
	if s.NeedsCheck() || s.Have().Count() != f.info.NumPieces()-1 {
		t.Errorf("%d pieces are known in the new folder, and a check is needed: %v", s.Have().Count(), s.NeedsCheck())
	}
	f.put(t, s, f.info.NumPieces()-1)
	must(t, s.Finish())
	must(t, s.Close())
	if _, err := os.Stat(filepath.Join(r.To, "foreign")); err != nil {
		t.Error(err)
	}
}
