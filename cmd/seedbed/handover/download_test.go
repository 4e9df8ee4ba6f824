package handover

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/node/view"
)

// A torrent has its name from the event of its metadata on, even if it is complete before the daemon
// sends its next state.
func TestACompleteTorrentHasItsName(t *testing.T) {
	out, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer out.Close()
	infohash := id.ID{1}.String()
	d := &Download{App: app.New(nil, &report.Stdio{File: out}, &report.Stdio{File: out})}
	if err := d.App.WithFeed(t.Context(), false, func(rep *report.Feed) error {
		x, err := newTorrent(&view.Torrent{Head: view.NewHead(id.ID{1}, time.Now()), Name: infohash, State: "metadata"})
		if err != nil {
			return err
		}
		d.rep, d.torrents, d.open = rep, []*torrent{x}, 1
		if err := d.handle(t.Context(), "metadata", []byte(`{"event":"metadata","infohash":"`+infohash+`","name":"film","size":4,"pieces":1,"piece_length":16384}`)); err != nil {
			return err
		}
		if err := d.handle(t.Context(), "complete", []byte(`{"event":"complete","infohash":"`+infohash+`"}`)); err != errDone {
			t.Errorf("the completion gives %v", err)
		}
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	if said, err := os.ReadFile(out.Name()); err != nil || !strings.Contains(string(said), "film: complete and verified") {
		t.Errorf("it said %q, %v", said, err)
	}
}
