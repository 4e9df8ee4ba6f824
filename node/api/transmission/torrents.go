package transmission

import (
	"cmp"
	"encoding/json"
	"slices"
	"time"

	"seedbed/internal/id"
	"seedbed/node"
)

// torrents returns the torrents that the parameter ids names: all without it, else those with
// these numbers or infohashes, or recently_active. Unknown ones are left out.
func (r *request) torrents() []*node.Torrent {
	raw, given := r.params["ids"]
	if !given {
		return r.Node().Torrents()
	}
	if r.isRecent() {
		changed, _ := r.recentlyActive()
		return changed
	}
	list, isList := r.list("ids")
	if !isList {
		list = []json.RawMessage{raw}
	}
	var found []*node.Torrent
	seen := make(map[*node.Torrent]bool, len(list))
	for _, raw := range list {
		if t := r.named(raw); t != nil && !seen[t] {
			seen[t] = true
			found = append(found, t)
		}
	}
	return found
}

// isRecent reports whether the request is about the torrents that were recently active.
func (r *request) isRecent() bool {
	text, _ := r.text("ids")
	return currentName(text) == "recently_active"
}

// recentlyActive returns the torrents that were recently active, by number, and the infohashes of
// those that were removed.
func (r *request) recentlyActive() ([]*node.Torrent, []id.ID) {
	changed, removed := r.recent.since(r.Node())
	slices.SortFunc(changed, func(a, b *node.Torrent) int { return cmp.Compare(r.Number(a), r.Number(b)) })
	return changed, removed
}

// named returns the torrent with a number or an infohash, or nil.
func (h *handler) named(raw json.RawMessage) *node.Torrent {
	if raw[0] != '"' {
		if v, ok := number(raw); ok {
			return h.Numbered(int64(v))
		}
		return nil
	}
	var text string
	if json.Unmarshal(raw, &text) != nil {
		return nil
	}
	hash, err := id.ParseHex(text)
	if err != nil {
		return nil
	}
	return h.Node().Torrent(hash)
}

// torrentGet lists torrents. It leaves out unknown fields and repeated ones.
func (r *request) torrentGet() error {
	r.recent.look(r.Node(), time.Now())
	names, _ := r.texts("fields")
	var fields []*field
	for _, name := range names {
		if f := torrentFields[currentName(name)]; f != nil && !slices.Contains(fields, f) {
			fields = append(fields, f)
		}
	}
	if len(fields) == 0 {
		return failf(invalidParams, "no fields specified")
	}
	var torrents []*node.Torrent
	if r.isRecent() {
		changed, removed := r.recentlyActive()
		torrents = changed
		r.w.key("removed")
		r.w.open('[')
		for _, hash := range removed {
			r.w.integer(r.NumberOf(hash))
		}
		r.w.close(']')
	} else {
		torrents = r.torrents()
	}
	format, _ := r.text("format")
	r.w.b = slices.Grow(r.w.b, (1+len(torrents))*len(fields)*usualField)
	r.w.key("torrents")
	r.w.open('[')
	if format == "table" {
		r.w.open('[')
		for _, f := range fields {
			r.w.text(f.names[r.w.d])
		}
		r.w.close(']')
		r.table(fields, torrents)
	} else {
		r.objects(fields, torrents)
	}
	r.w.close(']')
	return nil
}

// usualField is the number of bytes reserved for the name and the value of a field in an answer.
const usualField = 20

// table writes a list of the fields' values for each torrent.
func (r *request) table(fields []*field, torrents []*node.Torrent) {
	row := row{request: r}
	for _, t := range torrents {
		row.t, row.known = t, 0
		r.w.open('[')
		for _, f := range fields {
			f.write(r.w, &row)
		}
		r.w.close(']')
	}
}

// objects writes an object for each torrent.
func (r *request) objects(fields []*field, torrents []*node.Torrent) {
	row := row{request: r}
	for _, t := range torrents {
		row.t, row.known = t, 0
		r.w.open('{')
		for _, f := range fields {
			r.w.next()
			r.w.b = append(r.w.b, f.keys[r.w.d]...)
			f.write(r.w, &row)
		}
		r.w.close('}')
	}
}
