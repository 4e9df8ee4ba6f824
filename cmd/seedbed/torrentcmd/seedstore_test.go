package torrentcmd

import (
	"testing"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/settings"
	"seedbed/internal/objectstore"
)

// Somebody who names a store for a file of this machine expects something else than what happens.
func TestLocalFilesAreNotSeededFromAStore(t *testing.T) {
	f := &app.Flags{Values: new(settings.Values)}
	f.Store.Location = objectstore.Location{Bucket: "films", Prefix: "2026/"}
	g := Seeding{Flags: f}
	for path, isLocal := range map[string]bool{"film.mkv": true, "folder/": true, "film.torrent": false, "magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056": false, "https://example.org/x.torrent": false} {
		err := g.checkInStore([]string{path})
		if (err != nil) != isLocal || isLocal && exit.CodeOf(err) != exit.Usage {
			t.Errorf("%s: %v", path, err)
		}
	}
	if err := g.checkInStore([]string{"film.mkv", "film.torrent"}); err != nil {
		t.Errorf("a file beside a torrent: %v", err)
	}
}
