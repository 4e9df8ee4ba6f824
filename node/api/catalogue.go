package api

import (
	"context"
	"net/http"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// CatalogueBody is a torrent for the catalogue of an object store.
type CatalogueBody struct {
	Torrent []byte `json:"torrent" doc:"The content of a .torrent file, in base64."`
	Force   bool   `json:"force,omitempty" doc:"Add the torrent without looking whether its objects are in the store."`
}

func (a *api) addCatalogue() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/catalogue", "show-catalogue", "Show what is shared of the catalogue of the object store", token.Read),
		func(context.Context, *struct{}) (*struct{ Body *view.Catalogue }, error) {
			c, err := a.catalogue()
			return &struct{ Body *view.Catalogue }{c}, a.problem(err)
		})
	add := operation(http.MethodPost, "/v1/catalogue", "add-to-catalogue", "Add a torrent to the catalogue of the object store, from which all nodes of the store share it", token.Admin)
	add.MaxBodyBytes = maxAddBody
	huma.Register(a.huma, add, func(ctx context.Context, in *struct{ Body CatalogueBody }) (*struct{ Status int }, error) {
		t, err := metainfo.ParseTorrent(in.Body.Torrent)
		if err != nil {
			return nil, a.problem(node.NewFault(node.FaultUsage, err, ""))
		}
		return a.end(ctx, func(ctx context.Context) error { return a.AddToCatalogue(ctx, t, in.Body.Force) })
	})
	huma.Register(a.huma, operation(http.MethodDelete, "/v1/catalogue/{infohash}", "remove-from-catalogue", "Remove a torrent from the catalogue; all nodes of the store stop sharing it, and its objects stay", token.Admin),
		func(ctx context.Context, in *struct {
			InfoHash string `path:"infohash" minLength:"40" maxLength:"40" doc:"Of the torrent; that of a v2 torrent is truncated."`
		}) (*struct{ Status int }, error) {
			infohash, err := id.ParseHex(in.InfoHash)
			if err != nil {
				return nil, a.problem(node.NewFault(node.FaultUsage, err, ""))
			}
			return a.end(ctx, func(ctx context.Context) error { return a.RemoveFromCatalogue(ctx, infohash) })
		})
}

func (a *api) catalogue() (*view.Catalogue, error) {
	s, err := a.Catalogue()
	if err != nil {
		return nil, err
	}
	o := &view.Catalogue{Store: s.Location, Objects: s.Objects, Torrents: s.Torrents, Refused: s.Refused, LeftOut: s.LeftOut, Absent: s.Absent}
	if !s.Listed.IsZero() {
		o.Listed = s.Listed.UTC().Format(time.RFC3339)
	}
	if s.Err != nil {
		o.Error = s.Err.Error()
	}
	view.Complete(o, time.Now())
	return o, nil
}
