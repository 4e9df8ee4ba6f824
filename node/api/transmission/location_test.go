package transmission

import (
	"encoding/base64"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/node/daemon/token"
)

// torrent-set-location without move uses the files that are in the new folder already, and fails if
// there are none.
func TestTorrentSetLocationWithoutMove(t *testing.T) {
	r := newRig(t)
	r.write("show/a.txt", "first")
	r.post(token.Admin, fmt.Sprintf(`{"method":"torrent-add","arguments":{"metainfo":%q}}`, base64.StdEncoding.EncodeToString(r.torrentOf("show"))))
	x := r.handler.Node().Torrents()[0]
	<-x.Done()
	to := filepath.Join(r.dir, "data", "elsewhere")
	set := func(move string) string {
		return r.post(token.Admin, fmt.Sprintf(`{"method":"torrent-set-location","arguments":{"ids":[1],"location":%q%s}}`, to, move)).Body.String()
	}
	if body := set(`,"move":false`); !strings.Contains(body, "none of the files") {
		t.Errorf("a folder without the files: %s", body)
	}
	if err := os.Mkdir(to, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(filepath.Join(r.dir, "data", "show"), filepath.Join(to, "show")); err != nil {
		t.Fatal(err)
	}
	if body := set(""); !strings.Contains(body, "success") {
		t.Errorf("a folder with the files: %s", body)
	}
	if err := x.Settled(t.Context()); err != nil {
		t.Error(err)
	}
	if d := x.Details().Dir; d != to {
		t.Errorf("the folder is %s", d)
	}
}
