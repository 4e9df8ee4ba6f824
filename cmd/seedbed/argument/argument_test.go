package argument

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/netx"
)

// torrentFile is a .torrent file for one file of 5 bytes.
const torrentFile = "d4:infod6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee"

func TestTorrentsAreFetchedFromTheWeb(t *testing.T) {
	const link = "magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056"
	mux := http.NewServeMux()
	mux.HandleFunc("/x.torrent", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, torrentFile) })
	mux.HandleFunc("/moved", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/x.torrent", http.StatusFound) })
	mux.HandleFunc("/loop", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, "/loop", http.StatusFound) })
	mux.HandleFunc("/away", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, "file:///etc/passwd", http.StatusFound)
	})
	mux.HandleFunc("/magnet", func(w http.ResponseWriter, r *http.Request) { http.Redirect(w, r, link, http.StatusFound) })
	mux.HandleFunc("/page", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "<html>log in</html>") })
	mux.HandleFunc("/text", func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "nothing") })
	mux.HandleFunc("/empty", func(w http.ResponseWriter, r *http.Request) {})
	mux.HandleFunc("/short", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Length", "1000")
		fmt.Fprint(w, torrentFile)
	})
	mux.HandleFunc("/endless", func(w http.ResponseWriter, r *http.Request) {
		b := make([]byte, 1<<20)
		for {
			if _, err := w.Write(b); err != nil {
				return
			}
		}
	})
	mux.HandleFunc("/broken", func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(http.StatusInternalServerError) })
	s := httptest.NewServer(mux)
	defer s.Close()
	for _, path := range []string{"/x.torrent", "/moved"} {
		spec, err := Open(t.Context(), netx.Outbound{}, s.URL+path)
		if err != nil || spec.Torrent.Info.Name != "x" {
			t.Errorf("%s: %+v, %v", path, spec, err)
		}
	}
	if spec, err := Open(t.Context(), netx.Outbound{}, s.URL+"/magnet"); err != nil || spec.Link == nil || spec.Link.String() != link {
		t.Errorf("a redirect to a magnet link: %+v, %v", spec, err)
	}
	if _, err := Open(t.Context(), netx.Outbound{}, "http:///x.torrent"); err == nil || exit.CodeOf(err) != exit.Usage {
		t.Errorf("a URL without a host: %v", err)
	}
	for path, want := range map[string]struct {
		code exit.Code
		says string
	}{
		"/loop":    {exit.Network, "more than 10 times"},
		"/away":    {exit.Network, "not an HTTP URL"},
		"/page":    {exit.Bencode, "is a web page"},
		"/text":    {exit.Bencode, "is not a .torrent file: it is not bencoded"},
		"/empty":   {exit.Bencode, "is not a .torrent file: it is empty"},
		"/short":   {exit.Network, "was interrupted"},
		"/endless": {exit.Torrent, "too large for a .torrent file"},
		"/broken":  {exit.Network, "500 Internal Server Error"},
		"/none":    {exit.NotFound, "404 Not Found"},
	} {
		_, err := Open(t.Context(), netx.Outbound{}, s.URL+path)
		if err == nil || exit.CodeOf(err) != want.code || !strings.Contains(err.Error(), want.says) {
			t.Errorf("%s: %d, %v", path, exit.CodeOf(err), err)
		}
	}
}

func TestABareInfohashIsALink(t *testing.T) {
	const hash = "c9e15763f722f23e98a29decdfae341b98d53056"
	t.Chdir(t.TempDir())
	for _, arg := range []string{hash, "ZHQVOY7XELZD5GFCTXWN7LRUDOMNKMCW", strings.Repeat("ab", 32), "1220" + strings.Repeat("ab", 32)} {
		if spec, err := Open(t.Context(), netx.Outbound{}, arg); err != nil || spec.Link == nil {
			t.Errorf("%s: %v", arg, err)
		}
	}
	// An existing file of that name takes precedence.
	if err := os.WriteFile(filepath.Join(".", hash), []byte(torrentFile), 0o644); err != nil {
		t.Fatal(err)
	}
	if spec, err := Open(t.Context(), netx.Outbound{}, hash); err != nil || spec.Torrent == nil {
		t.Error(err)
	}
	if _, err := Open(t.Context(), netx.Outbound{}, hash[1:]); err == nil || exit.CodeOf(err) != exit.Magnet || !strings.Contains(err.Error(), "39 hexadecimal digits") {
		t.Error(err)
	}
}

// The number or the beginning of the infohash of a torrent is taken as such only if it is nothing
// else.
func TestIDs(t *testing.T) {
	t.Chdir(t.TempDir())
	if err := os.WriteFile("12", nil, 0o644); err != nil {
		t.Fatal(err)
	}
	infohash := strings.Repeat("0a", 20)
	for arg, want := range map[string]bool{"3": true, "123456": true, "abcd": true, "ABCD9": true, infohash[:39]: true, infohash + infohash[:23]: true,
		"": false, "12": false, "abc": false, "-1": false, "1.5": false, "film": false, "abcd.torrent": false, "dead/beef": false,
		infohash: false, infohash + infohash[:24]: false, infohash + infohash: false, "magnet:?xt=urn:btih:" + infohash: false} {
		if got := IsID(arg); got != want {
			t.Errorf("%q: %v", arg, got)
		}
	}
}
