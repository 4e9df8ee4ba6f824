package torrentcmd

import (
	"net/http"
	"slices"
	"testing"

	"seedbed/internal/s3test"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/s3store"
)

// The link and the torrent of objects that everybody can read name the store as a web seed.
func TestSeedAddsAPublicStore(t *testing.T) {
	server := s3test.New(t)
	server.Put("films/film", []byte("film"))
	store := server.Open("films")
	info, err := s3store.Make(t.Context(), server.Open("films/film"), s3store.MakeOptions{Format: metainfo.V1})
	if err != nil {
		t.Fatal(err)
	}
	specs := func() []node.Spec {
		return []node.Spec{{Torrent: &metainfo.Torrent{Info: info.Info}, Dir: "/data", Seed: true}, {Torrent: &metainfo.Torrent{Info: info.Info}, Objects: true}}
	}
	want := []string{"http://store.test/bucket/films/film"}
	got := specs()
	addWebSeeds(t.Context(), s3store.NewWebSeeds(store, func(err error) { t.Error(err) }), got)
	if s := got[1]; s.Link == nil || !slices.Equal(s.Link.WebSeeds, want) || !slices.Equal(s.Torrent.WebSeeds, want) || got[0].Link != nil {
		t.Errorf("%+v", got)
	}
	for what, f := range map[string]s3test.Fault{"private": {Status: http.StatusForbidden}, "away": {Status: http.StatusServiceUnavailable}} {
		server.SetFault(func(*http.Request) s3test.Fault { return f })
		got = specs()
		addWebSeeds(t.Context(), s3store.NewWebSeeds(store, func(err error) { t.Error(err) }), got)
		if s := got[1]; s.Link != nil || len(s.Torrent.WebSeeds) > 0 {
			t.Errorf("%s: %+v", what, s)
		}
	}
}
