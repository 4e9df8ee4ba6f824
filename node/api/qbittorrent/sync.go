package qbittorrent

import (
	"context"
	"maps"
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/node"
	"seedbed/node/daemon"
)

const (
	// maxMarks limits the answers that are remembered, over all clients. A client whose last
	// answer is forgotten gets a full update.
	maxMarks = 1024
	// maxGone limits the removed tags that are remembered.
	maxGone = 1000
)

// A syncer finds out what has changed since an answer of sync/maindata. It keeps no copy of what
// it has sent. Answers that say the same have the same number, for all clients, and each number
// stands for a position in the change log. What changes without an event is compared with one
// copy, which has for each value the number of the first answer with that value:
//
//   - the live values of the running torrents;
//   - the state of the server;
//   - the tags, which are counted as torrents change.
//
// So an answer takes time proportional to the running torrents and the changes, and memory
// proportional to the running torrents and those with tags, for any number of clients.
type syncer struct {
	h *handler

	mu     sync.Mutex
	rid    int64 // of the last answer; it begins at random, so that the numbers of an earlier run are unknown
	cursor node.Cursor
	marks  []mark // oldest first
	live   map[*node.Torrent]*liveValues
	server map[string]*versioned
	labels map[id.ID][]string // of torrents that have some
	tags   map[string]*tag
	gone   []versioned // removed tags

	categories     map[string]*versioned // their folders
	goneCategories []versioned
	dirty          bool // tags were created or deleted
}

// A mark is the position in the change log of an answer.
type mark struct {
	rid    int64
	cursor node.Cursor
}

// liveValues are the values of a running torrent that are compared, and the first answer that had
// them.
type liveValues struct {
	numbers
	rid int64
}

type numbers struct {
	state                        string
	have, checked, down, up      int64
	downloaded, uploaded, wasted int64
	peers, seeds, known          int
	availability                 float64
}

// versioned is a text and the first answer that had it.
type versioned struct {
	text string
	rid  int64
}

func (s *syncer) init(h *handler) {
	s.h, s.rid = h, 1+rand.Int64N(1<<30) // clients may keep it in 32 bits
	s.live, s.server = map[*node.Torrent]*liveValues{}, map[string]*versioned{}
	s.labels, s.tags, s.categories = map[id.ID][]string{}, map[string]*tag{}, map[string]*versioned{}
	s.cursor = -1
}

// maindata answers with everything, or what has changed since the answer rid.
func maindata(c *call) error { return c.json(c.sync.since(c.integer("rid", 0))) }

// since returns what has changed since an answer.
func (s *syncer) since(rid int64) []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.update()
	o := newObject(nil)
	o.int("rid", s.rid)
	i, known := slices.BinarySearchFunc(s.marks, rid, func(m mark, rid int64) int { return int(m.rid - rid) })
	if !known {
		return s.full(o)
	}
	changes := s.h.node.Changes(s.marks[i].cursor)
	if changes.Resync {
		return s.full(o)
	}
	s.delta(o, rid, &changes)
	return o.end()
}

// update finds out what has changed since the last answer, and counts a new answer if anything has.
func (s *syncer) update() {
	next, cursor := s.rid+1, s.h.node.Cursor()
	dirty := s.updateLive(next) || s.dirty
	s.dirty = false
	dirty = s.updateServer(next) || dirty
	dirty = s.updateCategories(next) || dirty
	if cursor != s.cursor {
		dirty = true
		s.updateTags(next, s.h.node.Changes(s.cursor))
		s.cursor = cursor
	}
	if !dirty {
		return
	}
	s.rid = next
	if len(s.marks) == 2*maxMarks {
		s.marks = slices.Clone(s.marks[maxMarks:])
	}
	s.marks = append(s.marks, mark{next, cursor})
}

// updateLive compares the live values of the running torrents.
func (s *syncer) updateLive(next int64) (dirty bool) {
	active := s.h.node.Active()
	for _, t := range active {
		x := t.Snapshot()
		now := numbers{stateOf(t.Phase(), &x, t.IsForced()), x.HaveWanted, x.Checked, int64(x.DownRate), int64(x.UpRate), x.Downloaded, x.Uploaded, x.Wasted,
			x.Connected, x.Seeds, x.Known, x.Availability}
		m := s.live[t]
		if m == nil {
			m = &liveValues{}
			s.live[t] = m
		}
		if m.numbers != now {
			m.numbers, m.rid, dirty = now, next, true
		}
	}
	if len(s.live) > len(active) { // the others have stopped, which is an event
		running := make(map[*node.Torrent]bool, len(active))
		for _, t := range active {
			running[t] = true
		}
		for t := range s.live {
			if !running[t] {
				delete(s.live, t)
			}
		}
	}
	return dirty
}

// updateServer compares the state of the server.
func (s *syncer) updateServer(next int64) (dirty bool) {
	s.h.server(func(name, value string) {
		v := s.server[name]
		if v == nil {
			v = &versioned{}
			s.server[name] = v
		}
		if v.text != value {
			v.text, v.rid, dirty = value, next, true
		}
	})
	return dirty
}

// server calls each with the state of the server: the name and the JSON of each value.
func (h *handler) server(each func(name, value string)) {
	set, t := h.Daemon.Settings(), h.totals()
	down, up := rates(&set)
	number := func(name string, n int64) { each(name, strconv.FormatInt(n, 10)) }
	number("dl_info_speed", t.down)
	number("dl_info_data", t.received)
	number("up_info_speed", t.up)
	number("up_info_data", t.sent)
	number("dl_rate_limit", down)
	number("up_rate_limit", up)
	number("dht_nodes", int64(h.node.DHTNodes()))
	number("total_peer_connections", t.peers)
	number("free_space_on_disk", h.freeSpace())
	number("total_wasted_session", t.wasted)
	number("refresh_interval", refreshEvery)
	for _, name := range []string{"average_time_queue", "queued_io_jobs", "total_buffers_size", "total_queued_size"} {
		number(name, 0)
	}
	for _, name := range []string{"read_cache_hits", "read_cache_overload", "write_cache_overload"} {
		each(name, `"0"`)
	}
	each("connection_status", string(appendString(nil, h.connection())))
	each("global_ratio", `"-"`)
	each("queueing", strconv.FormatBool(set.Queue.IsOn()))
	each("use_alt_speed_limits", strconv.FormatBool(set.AltLimits))
	each("use_subcategories", "false")
}

// freeSpace returns the space in the download folder as it was last measured.
func (h *handler) freeSpace() int64 {
	now, cancel := context.WithCancel(h.node.Context())
	cancel() // nothing waits for the disk
	s, err := h.Daemon.FreeSpace(now, h.Daemon.Dir())
	if err != nil {
		return 0
	}
	return s.Free
}

// updateCategories compares the categories.
func (s *syncer) updateCategories(next int64) (dirty bool) {
	all := s.h.Daemon.Categories()
	for _, k := range all {
		v := s.categories[k.Name]
		if v == nil {
			v = &versioned{text: "none yet"}
			s.categories[k.Name] = v
		}
		if v.text != k.Dir {
			v.text, v.rid, dirty = k.Dir, next, true
		}
	}
	if len(s.categories) == len(all) {
		return dirty
	}
	for name := range s.categories {
		if !slices.ContainsFunc(all, func(k daemon.Category) bool { return k.Name == name }) {
			delete(s.categories, name)
			s.remember(&s.goneCategories, versioned{name, next})
			dirty = true
		}
	}
	return dirty
}

// remember adds a removed name to a list. If the list is full, all clients get full updates.
func (s *syncer) remember(gone *[]versioned, v versioned) {
	if len(*gone) == maxGone {
		s.marks, *gone = nil, nil
	}
	*gone = append(*gone, v)
}

// full adds everything to an answer.
func (s *syncer) full(o *object) []byte {
	all := s.h.all()
	o.b = slices.Grow(o.b, 2000+len(all)*1800)
	o.bool("full_update", true)
	o.object("torrents", func(o *object) { s.each(o, all, withoutHash) })
	o.object("categories", func(o *object) { s.categoriesSince(o, 0) })
	o.strings("tags", s.tagsSince(0))
	o.object("trackers", func(*object) {})
	s.serverSince(o, 0)
	return o.end()
}

// delta adds what has changed since an answer.
func (s *syncer) delta(o *object, rid int64, c *node.Changes) {
	var changed, running []*node.Torrent
	whole := make(map[*node.Torrent]bool, len(c.Changed))
	var removed []string
	for _, hash := range c.Removed {
		removed = append(removed, hash.String())
	}
	for _, hash := range c.Changed {
		switch t := s.h.node.Torrent(hash); {
		case t == nil:
		case isGone(t):
			removed = append(removed, hash.String())
		default:
			changed = append(changed, t)
			whole[t] = true
		}
	}
	for t, m := range s.live {
		if m.rid > rid && !whole[t] && !isGone(t) {
			running = append(running, t)
		}
	}
	if len(changed)+len(running) > 0 {
		o.object("torrents", func(o *object) {
			s.each(o, changed, withoutHash)
			s.each(o, running, onlyLive)
		})
	}
	if len(removed) > 0 {
		o.strings("torrents_removed", removed)
	}
	for _, v := range s.categories {
		if v.rid > rid {
			o.object("categories", func(o *object) { s.categoriesSince(o, rid) })
			break
		}
	}
	if gone := goneSince(s.goneCategories, rid, func(name string) bool { return s.categories[name] != nil }); len(gone) > 0 {
		o.strings("categories_removed", gone)
	}
	if names := s.tagsSince(rid); len(names) > 0 {
		o.strings("tags", names)
	}
	if gone := goneSince(s.gone, rid, func(name string) bool { return s.tags[name] != nil }); len(gone) > 0 {
		o.strings("tags_removed", gone)
	}
	s.serverSince(o, rid)
}

// goneSince returns what was removed since an answer and does not exist again.
func goneSince(list []versioned, rid int64, isBack func(string) bool) (names []string) {
	for _, g := range list {
		if g.rid > rid && !isBack(g.text) && !slices.Contains(names, g.text) {
			names = append(names, g.text)
		}
	}
	return names
}

// categoriesSince writes the categories that have changed since an answer.
func (s *syncer) categoriesSince(o *object, rid int64) {
	for _, name := range slices.Sorted(maps.Keys(s.categories)) {
		if v := s.categories[name]; v.rid > rid {
			o.object(name, func(o *object) { describeCategory(o, name, v.text) })
		}
	}
}

// each writes torrents by their infohashes.
func (s *syncer) each(o *object, list []*node.Torrent, keep func(*field) bool) {
	set, now := s.h.Daemon.Settings(), time.Now()
	for _, t := range list {
		x := s.h.torrentOf(t, &set, now)
		o.name(x.hash)
		o.b = appendTorrent(o.b, x, keep)
	}
}

// serverSince writes the state of the server that has changed since an answer, if any has.
func (s *syncer) serverSince(o *object, rid int64) {
	var names []string
	for name, v := range s.server {
		if v.rid > rid {
			names = append(names, name)
		}
	}
	if len(names) == 0 {
		return
	}
	slices.Sort(names)
	o.object("server_state", func(o *object) {
		for _, name := range names {
			o.name(name)
			o.b = append(o.b, s.server[name].text...)
		}
	})
}
