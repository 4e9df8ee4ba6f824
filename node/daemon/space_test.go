package daemon_test

import (
	"context"
	"path/filepath"
	"testing"
	"time"
)

func TestFreeSpaceIsThatOfTheFolderThatExists(t *testing.T) {
	d := open(t, t.TempDir())
	for _, dir := range []string{d.Dir(), filepath.Join(d.Dir(), "new", "folder")} {
		s, err := d.FreeSpace(t.Context(), dir)
		if err != nil || s.Free <= 0 || s.Total < s.Free {
			t.Errorf("%s: %+v, %v", dir, s, err)
		}
	}
	if s, err := d.FreeSpace(t.Context(), t.TempDir()); err == nil {
		t.Errorf("a folder that is not allowed: %+v", s)
	}
	ended, cancel := context.WithTimeout(t.Context(), -time.Second)
	defer cancel()
	if s, err := d.FreeSpace(ended, d.Dir()); err != nil || s.Total == 0 {
		t.Errorf("what was just measured: %+v, %v", s, err)
	}
}
