package watch

import (
	"context"
	"os"
	"testing"
	"testing/synctest"
	"time"

	"github.com/fsnotify/fsnotify"
	"github.com/google/go-cmp/cmp"
)

// A file is reported once it has stayed unchanged for a while, even if it was written many
// times before.
func TestANewTorrentFileIsReportedOnceItHasSettled(t *testing.T) {
	t.Chdir(t.TempDir())
	for _, name := range []string{"slow.torrent", "notes.txt", "SECOND.TORRENT"} {
		if err := os.WriteFile(name, nil, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir("folder.torrent", 0o755); err != nil {
		t.Fatal(err)
	}
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		events, out := make(chan fsnotify.Event), make(chan string, 10)
		done := make(chan struct{})
		go func() { reportSettled(ctx, events, nil, out); close(done) }()
		began := time.Now()
		for range 20 { // written slowly
			events <- fsnotify.Event{Name: "slow.torrent", Op: fsnotify.Write}
			time.Sleep(settleAfter / 2)
		}
		events <- fsnotify.Event{Name: "gone.torrent", Op: fsnotify.Create}
		events <- fsnotify.Event{Name: "gone.torrent", Op: fsnotify.Remove}
		events <- fsnotify.Event{Name: "notes.txt", Op: fsnotify.Create}
		events <- fsnotify.Event{Name: "folder.torrent", Op: fsnotify.Create}
		events <- fsnotify.Event{Name: "SECOND.TORRENT", Op: fsnotify.Create}
		var got []string
		for range 2 {
			got = append(got, <-out)
		}
		if want := []string{"slow.torrent", "SECOND.TORRENT"}; !cmp.Equal(got, want) {
			t.Errorf("%q", got)
		}
		if took := time.Since(began); took != 10*settleAfter+settleAfter {
			t.Errorf("after %v", took)
		}
		cancel()
		<-done
		if len(out) > 0 {
			t.Errorf("and %q", <-out)
		}
	})
}
