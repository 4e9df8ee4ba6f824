package client

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"strconv"

	"seedbed/node/api"
	"seedbed/node/daemon"
	"seedbed/node/view"
)

func torrentPath(id string) string { return "/v1/torrents/" + url.PathEscape(id) }

// Add adds a torrent. It returns the torrent also if the session had it already.
func (c *Client) Add(ctx context.Context, b api.AddBody) (t *view.Torrent, added bool, err error) {
	return create[view.Torrent](ctx, c, "/v1/torrents", b)
}

// Import takes over a torrent of another client.
func (c *Client) Import(ctx context.Context, b api.ImportBody) (*view.Imported, error) {
	o := new(view.Imported)
	return o, c.do(ctx, http.MethodPost, "/v1/import", b, o)
}

// A Filter selects torrents. An empty field selects all.
type Filter struct{ Label, Category, State string }

// List returns the torrents that a filter selects.
func (c *Client) List(ctx context.Context, f Filter) (all []*view.Torrent, err error) {
	q := url.Values{}
	for name, v := range map[string]string{"label": f.Label, "category": f.Category, "state": f.State} {
		if v != "" {
			q.Set(name, v)
		}
	}
	for after := int64(0); ; {
		var page api.TorrentList
		if err := c.do(ctx, http.MethodGet, "/v1/torrents?"+q.Encode(), nil, &page); err != nil {
			return nil, err
		}
		torrents := present(page.Torrents)
		all = append(all, torrents...)
		if !page.More || len(torrents) == 0 || torrents[len(torrents)-1].Number <= after {
			return all, nil
		}
		after = torrents[len(torrents)-1].Number
		q.Set("after", strconv.FormatInt(after, 10))
	}
}

// present returns a list without null, which another daemon may send.
func present[T any](list []*T) []*T {
	return slices.DeleteFunc(list, func(x *T) bool { return x == nil })
}

// Torrent returns one torrent.
func (c *Client) Torrent(ctx context.Context, id string) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodGet, torrentPath(id), nil, t)
}

// Files returns the files of a torrent.
func (c *Client) Files(ctx context.Context, id string) (files []view.TorrentFile, err error) {
	var l api.FileList
	err = c.do(ctx, http.MethodGet, torrentPath(id)+"/files", nil, &l)
	return l.Files, err
}

// Link makes a link for a player: to a file, or to a playlist of the torrent if file is 0. Its URL is
// empty if players cannot reach the daemon.
func (c *Client) Link(ctx context.Context, id string, file int, seconds int64) (l api.StreamLink, err error) {
	at := torrentPath(id)
	if file > 0 {
		at += "/files/" + strconv.Itoa(file)
	}
	err = c.do(ctx, http.MethodPost, at+"/link?seconds="+strconv.FormatInt(seconds, 10), nil, &l)
	if err == nil && c.isURL {
		l.URL = c.base + l.Path
	}
	return l, err
}

// Peers returns the connected peers of a torrent.
func (c *Client) Peers(ctx context.Context, id string) ([]view.Connection, error) {
	var l api.PeerList
	err := c.do(ctx, http.MethodGet, torrentPath(id)+"/peers", nil, &l)
	return l.Connections, err
}

// Perform performs an operation without arguments: pause, resume, start or recheck.
func (c *Client) Perform(ctx context.Context, verb, id string) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodPost, torrentPath(id)+"/"+verb+waiting, nil, t)
}

// Move moves the data of a torrent, or only changes its folder if the data is alreadyThere. It returns
// when the daemon has accepted that.
func (c *Client) Move(ctx context.Context, id, dir string, alreadyThere bool) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodPost, torrentPath(id)+"/move"+waiting, map[string]any{"dir": dir, "already_there": alreadyThere}, t)
}

// Rename renames a torrent, or the file or folder at a path in it; see api. It waits for up to a
// minute.
func (c *Client) Rename(ctx context.Context, id, path, name string) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodPost, torrentPath(id)+"/rename"+waiting, map[string]string{"path": path, "name": name}, t)
}

// Requeue moves a torrent in the queue: to the top, up, down, or to the bottom.
func (c *Client) Requeue(ctx context.Context, id string, to daemon.Where) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodPost, torrentPath(id)+"/queue", map[string]daemon.Where{"to": to}, t)
}

// Change changes labels, limits, seeding goals or wanted files.
func (c *Client) Change(ctx context.Context, id string, change api.TorrentChange) (*view.Torrent, error) {
	t := new(view.Torrent)
	return t, c.do(ctx, http.MethodPatch, torrentPath(id)+waiting, change, t)
}

// Remove removes a torrent from the session.
func (c *Client) Remove(ctx context.Context, id string, deleteData bool) error {
	return c.do(ctx, http.MethodDelete, torrentPath(id)+waiting+"&delete_data="+strconv.FormatBool(deleteData), nil, nil)
}

// Categories returns the categories of the daemon, sorted by name.
func (c *Client) Categories(ctx context.Context) ([]daemon.Category, error) {
	var l api.CategoryList
	err := c.do(ctx, http.MethodGet, "/v1/categories", nil, &l)
	return l.Categories, err
}

// PutCategory creates a category, or changes its folder.
func (c *Client) PutCategory(ctx context.Context, k daemon.Category) error {
	return c.do(ctx, http.MethodPut, "/v1/categories/"+url.PathEscape(k.Name), map[string]string{"dir": k.Dir}, nil)
}
