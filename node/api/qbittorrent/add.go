package qbittorrent

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"sync/atomic"

	"golang.org/x/sync/errgroup"

	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/fetch"
)

const (
	// maxURLs limits the links and URLs of one request.
	maxURLs = 1000
	// atOnce is how many torrents are added or changed at the same time.
	atOnce = 16
)

// add adds torrents: links and URLs in the parameter urls, one on each line, and files. The
// answer is Ok. if one of them was added or will be. As in qBittorrent, a torrent that the session has
// already does not count. The reason why a torrent was not added is a warning of the node.
func add(c *call) error {
	links := c.list("urls", "\n")
	if len(links) > maxURLs {
		return fail(http.StatusBadRequest, "more than %d URLs", maxURLs)
	}
	for _, f := range c.files {
		var lacks *metainfo.LayersError
		if _, err := metainfo.ParseTorrent(f.data); err != nil && !errors.As(err, &lacks) {
			return fail(http.StatusUnsupportedMediaType, "Error: '%s' is not a valid torrent file.", f.name)
		}
	}
	request, err := c.request()
	if err != nil {
		return err
	}
	cookies, uploads := c.get("cookie"), c.files
	var added atomic.Bool
	ended, _ := c.start(func(ctx context.Context) error {
		var g errgroup.Group
		g.SetLimit(atOnce)
		for _, f := range uploads {
			r := request
			r.Torrent = f.data
			g.Go(func() error { return c.addOne(ctx, &r, &added) })
		}
		for _, link := range links {
			g.Go(func() error { return c.addLink(ctx, request, link, cookies, &added) })
		}
		return g.Wait()
	})
	if ended && !added.Load() {
		return c.text("Fails.")
	}
	return c.text("Ok.")
}

// request returns what the parameters say about all torrents of a request. Other parameters of
// torrents/add are ignored.
func (c *call) request() (daemon.AddRequest, error) {
	goals, err := c.goals()
	return daemon.AddRequest{
		Dir:      c.get("savepath"),
		Category: strings.TrimSpace(c.get("category")),
		Labels:   c.list("tags", ","),
		Name:     strings.Join(strings.Fields(c.get("rename")), " "),
		Paused:   c.boolean("stopped", c.boolean("paused", c.Daemon.Settings().AddPaused)),
		UpRate:   max(c.integer("upLimit", 0), 0),
		DownRate: max(c.integer("dlLimit", 0), 0),
		Goals:    goals,
		Order:    node.Order{Sequential: c.boolean("sequentialDownload", false), FirstLast: c.boolean("firstLastPiecePrio", false)},
	}, err
}

// addLink adds the torrent of a link, or of a URL, which it downloads.
func (h *handler) addLink(ctx context.Context, r daemon.AddRequest, link, cookies string, added *atomic.Bool) (err error) {
	r.Link = link
	if fetch.IsURL(link) {
		if r.Torrent, r.Link, err = h.Fetcher.Torrent(ctx, link, cookies); err != nil {
			h.warn(err)
			return nil
		}
	}
	return h.addOne(ctx, &r, added)
}

// addOne adds a torrent, and reports in added if it is new.
func (h *handler) addOne(ctx context.Context, r *daemon.AddRequest, added *atomic.Bool) error {
	_, isNew, err := h.Daemon.Add(ctx, *r)
	if err != nil {
		h.warn(err)
		return nil
	}
	if isNew {
		added.Store(true)
	}
	return nil
}
