package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"seedbed/node/api"
	"seedbed/node/view"
)

// Pins returns what the daemon keeps alive, and the quota.
func (c *Client) Pins(ctx context.Context) (p api.Pins, err error) {
	err = c.do(ctx, http.MethodGet, "/v1/pins", nil, &p)
	p.Pins = present(p.Pins)
	return p, err
}

// Pin makes the daemon keep the content of a link alive. added is false if its user has pinned it already.
func (c *Client) Pin(ctx context.Context, b api.PinBody) (p *view.Pin, added bool, err error) {
	return create[view.Pin](ctx, c, "/v1/pins", b)
}

// RemovePin removes a pin, with or without its data.
func (c *Client) RemovePin(ctx context.Context, id string, data bool) error {
	return c.do(ctx, http.MethodDelete, "/v1/pins/"+url.PathEscape(id)+"?data="+strconv.FormatBool(data), nil, nil)
}

// PublishPins starts a job that publishes the list of the daemon's pins.
func (c *Client) PublishPins(ctx context.Context, b api.PinListBody) (*view.Job, error) {
	j := new(view.Job)
	return j, c.do(ctx, http.MethodPost, "/v1/pins/publish", b, j)
}

// PinLists returns the lists of pins that the daemon subscribes to.
func (c *Client) PinLists(ctx context.Context) ([]*view.PinList, error) {
	var l api.PinLists
	err := c.do(ctx, http.MethodGet, "/v1/pin-lists", nil, &l)
	return present(l.Lists), err
}

// SubscribePins makes the daemon pin what a list names. added is false if it does so already.
func (c *Client) SubscribePins(ctx context.Context, b api.SubscribeBody) (l *view.PinList, added bool, err error) {
	return create[view.PinList](ctx, c, "/v1/pin-lists", b)
}

// UnsubscribePins ends a subscription to a list of pins.
func (c *Client) UnsubscribePins(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/pin-lists/"+url.PathEscape(id), nil, nil)
}
