package client

import (
	"context"
	"net/http"

	"seedbed/node/view"
)

// Catalogue returns what the daemon shares of the catalogue of its object store.
func (c *Client) Catalogue(ctx context.Context) (*view.Catalogue, error) {
	o := new(view.Catalogue)
	return o, c.do(ctx, http.MethodGet, "/v1/catalogue", nil, o)
}
