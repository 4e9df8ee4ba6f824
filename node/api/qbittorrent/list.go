package qbittorrent

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"seedbed/internal/id"
	"seedbed/node"
	"seedbed/node/daemon"
)

func count(c *call) error { return c.text(strconv.Itoa(len(c.handler.all()))) }

// find returns the torrent with an infohash: v1, or v2 in full or truncated.
func (h *handler) find(hash string) *node.Torrent {
	if len(hash) == 64 {
		hash = hash[:40]
	}
	i, err := id.ParseHex(strings.ToLower(hash))
	if err != nil {
		return nil
	}
	if t := h.node.Torrent(i); t != nil && !isGone(t) {
		return t
	}
	return nil
}

// one returns the torrent that the parameter hash names.
func (c *call) one() (*node.Torrent, error) {
	if err := c.require("hash"); err != nil {
		return nil, err
	}
	if t := c.find(c.get("hash")); t != nil {
		return t, nil
	}
	return nil, errNotFound
}

// all returns the torrents that are not being removed.
func (h *handler) all() []*node.Torrent {
	return slices.DeleteFunc(h.node.Torrents(), isGone)
}

// named returns the torrents that the parameter hashes names: infohashes with | between them, or
// all. An infohash that no torrent has is ignored.
func (c *call) named(name string) ([]*node.Torrent, error) {
	if err := c.require(name); err != nil {
		return nil, err
	}
	if c.get(name) == "all" {
		return c.handler.all(), nil
	}
	return c.pick(c.list(name, "|")), nil
}

// pick returns the torrents with these infohashes, each once.
func (h *handler) pick(hashes []string) (found []*node.Torrent) {
	seen := make(map[*node.Torrent]bool, len(hashes))
	for _, hash := range hashes {
		if t := h.find(hash); t != nil && !seen[t] {
			seen[t] = true
			found = append(found, t)
		}
	}
	return found
}

// filters are the values of the parameter filter. Any other value means all torrents.
var filters = map[string]func(*torrent) bool{
	"downloading":         (*torrent).isDownloading,
	"seeding":             (*torrent).isUploading,
	"completed":           func(x *torrent) bool { return x.isUploading() || x.state == "stoppedUP" },
	"stopped":             (*torrent).isStopped,
	"paused":              (*torrent).isStopped,
	"running":             func(x *torrent) bool { return !x.isStopped() },
	"resumed":             func(x *torrent) bool { return !x.isStopped() },
	"active":              (*torrent).isActive,
	"inactive":            func(x *torrent) bool { return !x.isActive() },
	"stalled":             func(x *torrent) bool { return x.state == "stalledUP" || x.state == "stalledDL" },
	"stalled_uploading":   func(x *torrent) bool { return x.state == "stalledUP" },
	"stalled_downloading": func(x *torrent) bool { return x.state == "stalledDL" },
	"checking":            func(x *torrent) bool { return strings.HasPrefix(x.state, "checking") },
	"moving":              func(x *torrent) bool { return x.state == "moving" },
	"errored":             func(x *torrent) bool { return x.state == "error" || x.state == "missingFiles" },
}

func (x *torrent) isDownloading() bool {
	return strings.HasSuffix(x.state, "DL") || x.state == "downloading"
}
func (x *torrent) isUploading() bool {
	return x.state != "stoppedUP" && (strings.HasSuffix(x.state, "UP") || x.state == "uploading")
}
func (x *torrent) isStopped() bool { return strings.HasPrefix(x.state, "stopped") }
func (x *torrent) isActive() bool {
	return x.state == "downloading" || x.state == "uploading" || strings.HasSuffix(x.state, "etaDL") || x.Snapshot.UpRate >= 1 || x.Snapshot.DownRate >= 1
}

// info answers torrents/info.
func info(c *call) error {
	list, err := c.selected()
	if err != nil {
		return err
	}
	b := make([]byte, 0, 2+len(list)*1800)
	return c.json(appendList(b, list, func(b []byte, x *torrent) []byte { return appendTorrent(b, x, everything) }))
}

// selected returns the torrents that the parameters of torrents/info select, in their order.
func (c *call) selected() (list []*torrent, err error) {
	torrents := c.handler.all()
	if c.get("hashes") != "" {
		torrents = c.pick(c.list("hashes", "|"))
	}
	keep := filters[c.get("filter")]
	set, now := c.Daemon.Settings(), time.Now()
	for _, t := range torrents {
		if c.has("tag") && !hasTag(t.Labels(), c.get("tag")) {
			continue
		}
		if c.has("category") && !daemon.IsInCategory(t.Details().Category, c.get("category")) {
			continue
		}
		x := c.torrentOf(t, &set, now)
		switch {
		case keep != nil && !keep(x):
		case c.get("private") != "" && c.boolean("private", false) != x.private:
		default:
			list = append(list, x)
		}
	}
	if err := c.sort(list); err != nil {
		return nil, err
	}
	return page(list, c.integer("offset", 0), c.integer("limit", 0)), nil
}

// hasTag reports whether a torrent has a tag; the empty one means that it has none.
func hasTag(labels []string, tag string) bool {
	if tag == "" {
		return len(labels) == 0
	}
	return slices.Contains(labels, tag)
}

// sort sorts by the field that the parameter sort names.
func (c *call) sort(list []*torrent) error {
	name := c.get("sort")
	if name == "" || len(list) == 0 {
		return nil
	}
	i := slices.IndexFunc(fields, func(f field) bool { return f.name == name })
	if i < 0 {
		return fail(http.StatusBadRequest, "'sort' parameter is invalid")
	}
	compare := fields[i].compare
	if c.boolean("reverse", false) {
		slices.SortStableFunc(list, func(x, y *torrent) int { return compare(y, x) })
		return nil
	}
	slices.SortStableFunc(list, compare)
	return nil
}

// page returns limit elements from offset on. A negative offset counts from the end, and a limit
// of 0 or less is none.
func page[T any](list []T, offset, limit int64) []T {
	n := int64(len(list))
	if offset < 0 {
		offset = max(n+offset, 0)
	}
	list = list[min(offset, n):]
	if limit > 0 && limit < int64(len(list)) {
		list = list[:limit]
	}
	return list
}
