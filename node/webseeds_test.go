package node

import (
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"seedbed/internal/filetest"
	"seedbed/internal/simnet"
	"seedbed/magnet/metainfo"
)

// A torrent that only HTTP mirrors have is downloaded completely, in all three
// formats. A mirror that sends wrong data is detected at the first piece and reported.
func TestWebSeeds(t *testing.T) {
	for _, format := range []metainfo.Format{metainfo.V1, metainfo.V2, metainfo.Hybrid} {
		t.Run(format.String(), func(t *testing.T) {
			spec, dir := folder(t, ShareOptions{Format: format, PieceLength: 32 << 10}, small)
			files := http.FileServer(http.Dir(filepath.Dir(dir)))
			var asked atomic.Int64
			honest := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				asked.Add(1)
				files.ServeHTTP(w, r)
			}))
			defer honest.Close()
			wrong := t.TempDir()
			for name, size := range small {
				filetest.Write(t, filepath.Join(wrong, "things", filepath.FromSlash(name)), make([]byte, size))
			}
			lyingMirror := httptest.NewServer(http.FileServer(http.Dir(wrong)))
			defer lyingMirror.Close()

			b := start(t, simnet.New(1, simnet.Link{}), 1, noDHT, func(c *Config) { c.LocalWebSeeds = true })
			to := t.TempDir()
			torrent := *spec.Torrent
			torrent.WebSeeds = []string{lyingMirror.URL + "/"}
			got := b.add(Spec{Torrent: &torrent, Dir: to})
			for end := time.Now().Add(time.Minute); !strings.Contains(b.warnings(), "sent wrong data"); time.Sleep(10 * ms) {
				if time.Now().After(end) {
					t.Fatalf("the lying mirror was not reported: %q; %+v", b.warnings(), got.Snapshot())
				}
			}
			b.close()
			torrent.WebSeeds = []string{honest.URL + "/"}
			c := start(t, simnet.New(1, simnet.Link{}), 2, noDHT, func(c *Config) { c.LocalWebSeeds = true })
			got = c.add(Spec{Torrent: &torrent, Dir: to})
			wait(t, got.Done(), time.Minute, "the download")
			filetest.Same(t, dir, filepath.Join(to, "things"))
			if s := got.Snapshot(); s.Downloaded < 800_000 || asked.Load() == 0 {
				t.Errorf("%+v", s)
			}
			if k := c.Counters(); k.HTTP.V4.In < 800_000 || k.HTTP.V4.Out == 0 || k.TCP.V4.In != 0 || k.Downloaded < 800_000 {
				t.Errorf("%+v", k)
			}
		})
	}
}

// By default, no mirror in the local network is used.
func TestLocalWebSeedsAreLeftAlone(t *testing.T) {
	spec, _ := folder(t, ShareOptions{}, small)
	srv := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the local mirror was used") }))
	defer srv.Close()
	b := start(t, simnet.New(1, simnet.Link{}), 1, noDHT)
	torrent := *spec.Torrent
	torrent.WebSeeds = []string{srv.URL + "/"}
	b.add(Spec{Torrent: &torrent, Dir: t.TempDir()})
	for end := time.Now().Add(time.Minute); !strings.Contains(b.warnings(), "not a public address"); time.Sleep(10 * ms) {
		if time.Now().After(end) {
			t.Fatal("there was no warning: ", b.warnings())
		}
	}
}
