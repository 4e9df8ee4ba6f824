package daemon_test

import (
	"context"
	"path/filepath"
	"strings"
	"testing"

	links "seedbed/magnet"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/pins"
)

// The pins of a daemon are there after a restart, and are not among what it follows. It
// does not subscribe to the list that it publishes.
func TestPinsSurviveARestart(t *testing.T) {
	dir := t.TempDir()
	open := func() *daemon.Daemon {
		t.Helper()
		set := daemon.DefaultSettings()
		set.Dir = filepath.Join(dir, "data")
		d, err := daemon.Open(t.Context(), daemon.Config{Node: node.Config{State: filepath.Join(dir, "state"), Listen: "127.0.0.1:0", Bootstrap: []string{}}, Settings: set})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open()
	m, err := d.Pins()
	if err != nil {
		t.Fatal(err)
	}
	link, err := links.Parse("magnet:?xs=urn:btpk:" + strings.Repeat("ab", 32))
	if err != nil {
		t.Fatal(err)
	}
	if _, added, err := m.Add(t.Context(), pins.AddConfig{Link: link}); !added || err != nil {
		t.Fatal(added, err)
	}
	job, err := d.PublishPins(t.Context(), "me", "")
	if err != nil {
		t.Fatal(err)
	}
	<-job.Finished()
	own, err := links.Parse(d.Publications()[0].Link())
	if err != nil {
		t.Fatal(err)
	}
	if _, _, err := m.Subscribe(t.Context(), pins.SubscribeConfig{Link: own, Quota: 1}); node.KindOf(err) != node.FaultConflict {
		t.Errorf("subscribing to its own list: %v", err)
	}
	if err := d.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	d = open()
	defer d.Close(context.Background())
	if _, s, err := d.FindPin(link.PublicKey.String()); err == nil {
		t.Errorf("a pin is found by its key: %+v", s)
	}
	if m, err = d.Pins(); err != nil || len(m.Pins()) != 1 || !m.Pins()[0].Own {
		t.Fatal(err, m.Pins())
	}
	if f := d.Follows(); len(f) != 0 {
		t.Errorf("it follows %v", f[0].Describe())
	}
}
