package daemon

import (
	"context"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/node"
)

// hangBelow makes the resolution of links hang below a folder until release is called. reached is
// signalled when a call hangs.
func hangBelow(t *testing.T, dir string) (reached <-chan struct{}, release func()) {
	entered, back := make(chan struct{}, 100), make(chan struct{})
	evalSymlinks = func(path string) (string, error) {
		if strings.HasPrefix(path, dir) {
			entered <- struct{}{}
			<-back
		}
		return filepath.EvalSymlinks(path)
	}
	t.Cleanup(func() { evalSymlinks = filepath.EvalSymlinks })
	return entered, func() { close(back) }
}

// While a change of the settings waits for a disk that hangs, other changes and adds do not. When the
// disk is back, it is made too, and undoes none of them.
func TestAChangeThatWaitsForADiskDelaysNoOther(t *testing.T) {
	for name, change := range map[string]func(d *Daemon, given Settings, dir string) error{
		"change": func(d *Daemon, _ Settings, dir string) error {
			return d.SetSettings(context.Background(), map[string][]string{"dir": {dir}})
		},
		"reload": func(d *Daemon, given Settings, dir string) error {
			given.Dir = dir
			return d.Reload(given)
		},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			nas := filepath.Join(dir, "nas")
			given := DefaultSettings()
			given.Dir, given.AllowPaths = filepath.Join(dir, "data"), []string{nas}
			d, err := Open(t.Context(), Config{Node: node.Config{State: filepath.Join(dir, "state"), NoDHT: true, Listen: "127.0.0.1:0"}, Settings: given})
			if err != nil {
				t.Fatal(err)
			}
			defer d.Close(context.Background())
			reached, release := hangBelow(t, nas)
			changed := make(chan error, 1)
			go func() { changed <- change(d, given, filepath.Join(nas, "films")) }()
			<-reached

			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			if err := d.SetSettings(ctx, map[string][]string{"up-limit": {"1M"}}); err != nil {
				t.Errorf("another setting: %v", err)
			}
			d.switchLimits(true)
			if s := d.Settings(); s.UpRate != 1<<20 || !s.AltLimits || s.Dir != given.Dir {
				t.Errorf("%d, %v, %s", s.UpRate, s.AltLimits, s.Dir)
			}
			if _, _, err := d.Add(ctx, AddRequest{Link: strings.Repeat("ab", 20), Paused: true}); err != nil {
				t.Errorf("add: %v", err)
			}
			release()
			if err := <-changed; err != nil {
				t.Error(err)
			}
			if s := d.Settings(); s.UpRate != 1<<20 || s.Dir != filepath.Join(nas, "films") {
				t.Errorf("in the end: %d, %s", s.UpRate, s.Dir)
			}
		})
	}
}
