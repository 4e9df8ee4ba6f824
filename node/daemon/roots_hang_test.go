package daemon

import (
	"context"
	"errors"
	"path/filepath"
	"testing"
	"testing/synctest"
	"time"
)

// A move to a folder on a disk that hangs fails when the caller has waited long enough.
func TestMoveDoesNotWaitForADiskThatHangs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		back := make(chan struct{})
		defer func() { evalSymlinks = filepath.EvalSymlinks }()
		defer synctest.Wait()
		defer close(back)
		evalSymlinks = func(path string) (string, error) { <-back; return path, nil }
		d := &Daemon{}
		d.control.now.Store(&inForce{roots: roots{"/data"}})
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if err := d.Move(ctx, nil, "/data/new"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("move: %v", err)
		}
		if err := d.SetFolder(ctx, nil, "/data/new"); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("set folder: %v", err)
		}
	})
}
