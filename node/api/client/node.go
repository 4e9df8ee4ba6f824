package client

import (
	"context"
	"net/http"
	"net/url"

	"seedbed/node/api"
	"seedbed/node/view"
)

// Node returns the state of the whole node.
func (c *Client) Node(ctx context.Context) (s api.NodeStatus, err error) {
	return s, c.do(ctx, http.MethodGet, "/v1/node", nil, &s)
}

// Page makes a URL of the web page that logs in once and then offers to add a torrent, unless that is the
// zero value. It is empty if browsers cannot reach the daemon.
func (c *Client) Page(ctx context.Context, add api.ToAdd) (string, error) {
	var l api.LoginCode
	err := c.do(ctx, http.MethodPost, "/v1/session/code", add, &l)
	if err == nil && c.isURL {
		l.URL = c.base + "/" + api.LoginFragment(l.Code)
	}
	return l.URL, err
}

// Doctor starts a job that finds out why connections do not work. link may be empty. With writeStore, small objects are written to
// the object store of the daemon.
func (c *Client) Doctor(ctx context.Context, link string, writeStore bool) (*view.Job, error) {
	j := new(view.Job)
	return j, c.do(ctx, http.MethodPost, "/v1/doctor", map[string]any{"link": link, "write_store": writeStore}, j)
}

// DHT returns the state of the daemon's node in the DHT, with its routing tables.
func (c *Client) DHT(ctx context.Context) (s api.DHTStatus, err error) {
	return s, c.do(ctx, http.MethodGet, "/v1/dht", nil, &s)
}

// FindPeers looks up the peers of an infohash in the DHT, with an estimate of their number if scrape
// is set.
func (c *Client) FindPeers(ctx context.Context, infohash string, scrape bool) (p api.Peers, err error) {
	return p, c.do(ctx, http.MethodPost, "/v1/dht/lookup", map[string]any{"infohash": infohash, "scrape": scrape}, &p)
}

// GetItem looks up an item in the DHT by its target, or by its public key and salt.
func (c *Client) GetItem(ctx context.Context, target, salt string) (i api.FoundItem, err error) {
	return i, c.do(ctx, http.MethodPost, "/v1/dht/get", map[string]string{"target": target, "salt": salt}, &i)
}

// Tokens returns the tokens of the daemon.
func (c *Client) Tokens(ctx context.Context) (l api.TokenList, err error) {
	return l, c.do(ctx, http.MethodGet, "/v1/tokens", nil, &l)
}

// NewToken makes a token.
func (c *Client) NewToken(ctx context.Context, name, scope string) (t api.NewToken, err error) {
	return t, c.do(ctx, http.MethodPost, "/v1/tokens", map[string]string{"name": name, "scope": scope}, &t)
}

// RevokeToken revokes a token by its id or name.
func (c *Client) RevokeToken(ctx context.Context, which string) (l api.TokenList, err error) {
	return l, c.do(ctx, http.MethodDelete, "/v1/tokens/"+url.PathEscape(which), nil, &l)
}

// Settings returns the settings of the daemon that can change while it runs.
func (c *Client) Settings(ctx context.Context) (l api.SettingList, err error) {
	return l, c.do(ctx, http.MethodGet, "/v1/settings", nil, &l)
}

// SetSettings changes settings: all of them, or none if it returns an error.
func (c *Client) SetSettings(ctx context.Context, values map[string][]string) (l api.SettingList, err error) {
	return l, c.do(ctx, http.MethodPatch, "/v1/settings", values, &l)
}
