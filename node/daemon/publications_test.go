package daemon_test

import (
	"context"
	"io/fs"
	"os"
	"path/filepath"
	"testing"

	"seedbed/node"
	"seedbed/node/daemon"
)

// A daemon is open, and serves its torrents, while its publications are still being resumed, which
// reads what they publish. All of them are listed meanwhile.
func TestADaemonOpensBeforeItsPublicationsAreResumed(t *testing.T) {
	dir := t.TempDir()
	site := filepath.Join(dir, "data", "site")
	if err := os.MkdirAll(site, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(site, "page"), []byte("text"), 0o644); err != nil {
		t.Fatal(err)
	}
	open := func(omit func(fs.FileInfo) bool) *daemon.Daemon {
		t.Helper()
		set := daemon.DefaultSettings()
		set.Dir = filepath.Join(dir, "data")
		d, err := daemon.Open(t.Context(), daemon.Config{Node: node.Config{State: filepath.Join(dir, "state"), Listen: "127.0.0.1:0"}, Settings: set, Omit: omit})
		if err != nil {
			t.Fatal(err)
		}
		return d
	}
	d := open(nil)
	job, err := d.Publish(t.Context(), daemon.PublishRequest{Key: "k", Path: site})
	if err != nil {
		t.Fatal(err)
	}
	<-job.Finished() // it is on record
	if len(d.Publications()) != 1 {
		t.Fatalf("it is not published: %+v", job.State())
	}
	if err := d.Close(context.Background()); err != nil {
		t.Fatal(err)
	}

	reads, release := make(chan struct{}, 100), make(chan struct{})
	d = open(func(fs.FileInfo) bool {
		reads <- struct{}{}
		<-release
		return false
	})
	defer d.Close(context.Background())
	<-reads // its publication is being read, and it is open
	if _, added, err := d.Add(t.Context(), daemon.AddRequest{Link: "0123456789012345678901234567890123456789", Paused: true}); err != nil || !added {
		t.Errorf("a torrent is not added meanwhile: %v", err)
	}
	if pubs := d.Publications(); len(pubs) != 1 || len(pubs[0].Versions()) != 1 {
		t.Errorf("it has the publications %v meanwhile", pubs)
	}
	if c := d.Counts(); !c.Opened || c.Publications != 1 {
		t.Errorf("it counts %+v meanwhile", c)
	}
	close(release)
	if err := d.Publications()[0].Rollback(t.Context(), 1, false); err != nil {
		t.Errorf("the first version, when it is resumed: %v", err)
	}
}
