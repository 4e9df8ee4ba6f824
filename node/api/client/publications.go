package client

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"seedbed/node/api"
	"seedbed/node/view"
)

// Publications returns what the daemon publishes, and if ended is set, what it has published with
// the history kept.
func (c *Client) Publications(ctx context.Context, ended bool) ([]*view.History, error) {
	var l api.PublicationList
	err := c.do(ctx, http.MethodGet, "/v1/publications?ended="+strconv.FormatBool(ended), nil, &l)
	return present(l.Publications), err
}

func publicationPath(id string) string { return "/v1/publications/" + url.PathEscape(id) }

// Publication returns a publication of the daemon. The error is a not-found one if it publishes no such thing.
func (c *Client) Publication(ctx context.Context, id string) (*view.History, error) {
	h := new(view.History)
	return h, c.do(ctx, http.MethodGet, publicationPath(id), nil, h)
}

// Publish starts a job that publishes a file or folder.
func (c *Client) Publish(ctx context.Context, b api.PublishBody) (*view.Job, error) {
	j := new(view.Job)
	return j, c.do(ctx, http.MethodPost, "/v1/publications", b, j)
}

// Rollback starts a job that publishes an earlier version again.
func (c *Client) Rollback(ctx context.Context, id string, seq int64, overrule bool) (*view.Job, error) {
	j := new(view.Job)
	return j, c.do(ctx, http.MethodPost, publicationPath(id)+"/rollback", map[string]any{"seq": seq, "overrule": overrule}, j)
}

// Unpublish ends a publication for good, with or without its history.
func (c *Client) Unpublish(ctx context.Context, id string, keepHistory bool) error {
	return c.do(ctx, http.MethodDelete, publicationPath(id)+"?keep_history="+strconv.FormatBool(keepHistory), nil, nil)
}

// Keys returns the publishing keys of the daemon's machine, without secrets.
func (c *Client) Keys(ctx context.Context) ([]*view.Key, error) {
	var l api.KeyList
	err := c.do(ctx, http.MethodGet, "/v1/keys", nil, &l)
	return present(l.Keys), err
}

// Follows returns what the daemon follows.
func (c *Client) Follows(ctx context.Context) ([]*view.Followed, error) {
	var l api.FollowList
	err := c.do(ctx, http.MethodGet, "/v1/follows", nil, &l)
	return present(l.Follows), err
}

// Follow makes the daemon follow a publication. added is false if the daemon follows it already.
func (c *Client) Follow(ctx context.Context, b api.FollowBody) (f *view.Followed, added bool, err error) {
	return create[view.Followed](ctx, c, "/v1/follows", b)
}

// Unfollow ends a follow for good.
func (c *Client) Unfollow(ctx context.Context, id string) error {
	return c.do(ctx, http.MethodDelete, "/v1/follows/"+url.PathEscape(id), nil, nil)
}

// Stay goes back to an earlier version of a follow, and stays there.
func (c *Client) Stay(ctx context.Context, id string, seq int64) (*view.Followed, error) {
	f := new(view.Followed)
	return f, c.do(ctx, http.MethodPut, "/v1/follows/"+url.PathEscape(id)+"/stay", map[string]int64{"seq": seq}, f)
}

// Continue ends Stay.
func (c *Client) Continue(ctx context.Context, id string) (*view.Followed, error) {
	f := new(view.Followed)
	return f, c.do(ctx, http.MethodDelete, "/v1/follows/"+url.PathEscape(id)+"/stay", nil, f)
}
