package daemon_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"seedbed/node"
	"seedbed/node/daemon"
)

// What a feed names is added as its words say. What was removed is not added again when the feed
// list, and so the feed, is read again.
func TestFeedsAddTorrents(t *testing.T) {
	one, two := strings.Repeat("ab", 20), strings.Repeat("cd", 20)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		hash := one
		if r.URL.Path == "/two" {
			hash = two
		}
		fmt.Fprintf(w, `<rss version="2.0"><channel><item><title>Film %[1]s</title><guid>%[1]s</guid><link>magnet:?xt=urn:btih:%[1]s</link></item>
			<item><title>Other</title><link>magnet:?xt=urn:btih:%040d</link></item></channel></rss>`, hash, 7)
	}))
	defer s.Close()
	set := daemon.DefaultSettings()
	set.Feeds = []string{s.URL + "/one match=^Film category=film label=new paused"}
	d := openGiven(t, t.TempDir(), set)
	wait := func(hash string) *node.Torrent {
		t.Helper()
		events := d.Node().Subscribe(node.Added)
		defer events.Close()
		for {
			if x, err := d.Find(hash); err == nil {
				return x
			}
			if _, open := <-events.Ready(); !open {
				t.Fatal("the node has ended")
			}
			events.Take()
		}
	}
	x := wait(one)
	if got := x.Details(); got.Category != "film" || len(got.Labels) != 1 {
		t.Errorf("%+v", got)
	}
	if err := d.Remove(t.Context(), x, false); err != nil {
		t.Fatal(err)
	}
	set = d.Settings()
	set.Feeds = []string{s.URL + "/one match=^Film", s.URL + "/two match=^Film paused"}
	if err := d.Reload(set); err != nil {
		t.Fatal(err)
	}
	wait(two)
	if _, err := d.Find(one); err == nil {
		t.Error("what was removed was added again")
	}
	if err := d.SetSettings(t.Context(), map[string][]string{"rss": {s.URL}}); err == nil {
		t.Error("a client has changed the feeds")
	}
}

func TestFeedsAndFoldersThatCannotBe(t *testing.T) {
	for name, words := range map[string][]string{
		"rss":       {"", "ftp://example.org/", "https://example.org/ match=(", "https://example.org/ every=1m", "https://example.org/ every=x", "https://example.org/ what=1", "https://example.org/ 'a"},
		"watch-dir": {"", "/a what", "/a label=", "/a category=", "/a 'b"},
		"post-to":   {"", "example.org"},
	} {
		for _, text := range words {
			s := daemon.DefaultSettings()
			if err := daemon.FindSetting(name).Value(&s).Set(text); err == nil {
				t.Errorf("%s %q was accepted", name, text)
			}
		}
	}
}
