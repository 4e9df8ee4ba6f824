package api_test

import (
	"net/http"
	"strings"
	"testing"

	"seedbed/internal/nodetest"
	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/swarm/s3store"
)

// newStoreRig is newRig with an object store, which has a film below films/.
func newStoreRig(t testing.TB) (*rig, *s3test.Store, *metainfo.Torrent) {
	t.Helper()
	store := s3test.New(t)
	data := strings.Repeat("film", 100_000)
	store.Put("films/film", []byte(data))
	info, err := s3store.Make(t.Context(), store.Open("films/film"), s3store.MakeOptions{Format: metainfo.V1, PieceLength: 32 << 10})
	if err != nil {
		t.Fatal(err)
	}
	r := newRigWith(t, node.Config{NoDHT: true, Objects: nodetest.Objects(t, store.Open("films"), t.TempDir())})
	return r, store, &metainfo.Torrent{Info: info.Info}
}

// A torrent whose objects are missing is added to the catalogue only by force. One whose objects everybody can read gets them as a web seed.
func TestTheCatalogue(t *testing.T) {
	r, store, torrent := newStoreRig(t)
	path := "films/.seedbed/torrents/" + torrent.Info.Hash.String() + ".torrent"
	body := api.CatalogueBody{Torrent: torrent.Append(nil)}
	film := store.Get("films/film")
	store.Remove("films/film")
	var p api.Problem
	if code := r.do(http.MethodPost, "/v1/catalogue", body, &p); code < 400 || !strings.Contains(p.Detail+p.Hint, "is missing") || store.Get(path) != nil {
		t.Errorf("%d %+v", code, p)
	}
	body.Force = true
	if code := r.do(http.MethodPost, "/v1/catalogue", body, nil); code != http.StatusNoContent || store.Get(path) == nil {
		t.Errorf("by force: %d", code)
	}
	store.Put("films/film", film)
	body.Force = false
	if code := r.do(http.MethodPost, "/v1/catalogue", body, nil); code != http.StatusNoContent {
		t.Error(code)
	}
	got, err := metainfo.ParseTorrent(store.Get(path))
	if err != nil || len(got.WebSeeds) != 1 || got.WebSeeds[0] != "http://store.test/bucket/films/film" {
		t.Errorf("%+v, %v", got, err)
	}
}

// A torrent that is added in a public store has it as a web seed, in its link too.
func TestAddingATorrentOfAPublicStore(t *testing.T) {
	r, store, torrent := newStoreRig(t)
	if code := r.do(http.MethodPost, "/v1/torrents", api.AddBody{Torrent: torrent.Append(nil), Store: true}, nil); code/100 != 2 {
		t.Fatal(code)
	}
	if link := r.d.Node().Torrent(torrent.Info.Hash).Link(); !strings.Contains(link, "&ws=http") {
		t.Error(link)
	}
	store.SetFault(func(*http.Request) s3test.Fault { return s3test.Fault{Status: http.StatusForbidden} })
	second := *torrent
	info, err := metainfo.ParseInfo([]byte(strings.Replace(string(torrent.Info.Raw), "4:film", "4:fine", 1)))
	if err != nil {
		t.Fatal(err)
	}
	second.Info = info
	if code := r.do(http.MethodPost, "/v1/torrents", api.AddBody{Torrent: second.Append(nil), Store: true}, nil); code/100 != 2 {
		t.Fatal(code)
	}
	if link := r.d.Node().Torrent(info.Hash).Link(); strings.Contains(link, "ws=") {
		t.Errorf("not public: %s", link)
	}
}
