package client

import (
	"context"
	"net/http"

	"seedbed/internal/id"
	"seedbed/node/api"
	"seedbed/node/view"
)

// Fleet returns the nodes of the fleet.
func (c *Client) Fleet(ctx context.Context) (f api.Fleet, err error) {
	err = c.do(ctx, http.MethodGet, "/v1/fleet", nil, &f)
	f.Nodes = present(f.Nodes)
	return f, err
}

// FleetOwners returns which nodes of the fleet announce a torrent, and what each of them does for it.
func (c *Client) FleetOwners(ctx context.Context, infohash id.ID) (*view.FleetOwners, error) {
	o := new(view.FleetOwners)
	return o, c.do(ctx, http.MethodGet, "/v1/fleet/owners/"+infohash.String(), nil, o)
}
