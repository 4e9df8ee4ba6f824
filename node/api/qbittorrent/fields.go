package qbittorrent

import (
	"cmp"
	"strconv"
	"strings"
	"time"
)

// A field is one value of each torrent in the list of torrents.
type field struct {
	name string
	key  string // `"name":`
	// isLive says that the value changes without an event of the torrent.
	isLive  bool
	append  func([]byte, *torrent) []byte
	compare func(a, b *torrent) int
}

func text(name string, get func(*torrent) string) field {
	return field{name: name, append: func(b []byte, x *torrent) []byte { return appendString(b, get(x)) },
		compare: func(x, y *torrent) int { return strings.Compare(get(x), get(y)) }}
}

func integer(name string, get func(*torrent) int64) field {
	return field{name: name, append: func(b []byte, x *torrent) []byte { return strconv.AppendInt(b, get(x), 10) },
		compare: func(x, y *torrent) int { return cmp.Compare(get(x), get(y)) }}
}

func number(name string, get func(*torrent) float64) field {
	return field{name: name, append: func(b []byte, x *torrent) []byte { return appendFloat(b, get(x)) },
		compare: func(x, y *torrent) int { return cmp.Compare(get(x), get(y)) }}
}

func boolean(name string, get func(*torrent) bool) field {
	rank := func(x *torrent) int {
		if get(x) {
			return 1
		}
		return 0
	}
	return field{name: name, append: func(b []byte, x *torrent) []byte { return strconv.AppendBool(b, get(x)) },
		compare: func(x, y *torrent) int { return rank(x) - rank(y) }}
}

// live marks fields whose values change without an event.
func live(fs ...field) []field {
	for i := range fs {
		fs[i].isLive = true
	}
	return fs
}

// fields are all values, the live ones last. In an answer of sync/maindata the first one is the key of
// the object.
var fields = func() []field {
	all := append([]field{
		text("hash", func(x *torrent) string { return x.hash }),
		text("infohash_v1", func(x *torrent) string { return x.v1 }),
		text("infohash_v2", func(x *torrent) string { return x.v2 }),
		text("name", func(x *torrent) string { return x.name }),
		text("magnet_uri", func(x *torrent) string { return x.magnet }),
		text("category", func(x *torrent) string { return x.Category }),
		text("tags", func(x *torrent) string { return x.tags }),
		text("save_path", func(x *torrent) string { return x.savePath }),
		text("download_path", (*torrent).downloadPath),
		text("content_path", func(x *torrent) string { return x.content }),
		text("root_path", func(x *torrent) string { return x.content }),
		text("tracker", func(*torrent) string { return "" }),
		text("comment", func(*torrent) string { return "" }),
		integer("size", func(x *torrent) int64 { return x.Wanted }),
		integer("total_size", (*torrent).totalSize),
		integer("pieces_num", (*torrent).pieces),
		integer("priority", func(x *torrent) int64 { return int64(x.position) }),
		integer("trackers_count", func(*torrent) int64 { return 0 }),
		integer("dl_limit", func(x *torrent) int64 { return x.Details.DownRate }),
		integer("up_limit", func(x *torrent) int64 { return x.Details.UpRate }),
		integer("added_on", func(x *torrent) int64 { return unix(x.Added, 0) }),
		integer("completion_on", func(x *torrent) int64 { return unix(x.totals.Completed, -1) }),
		number("ratio_limit", func(x *torrent) float64 { return limitOf(x.Goals.Ratio) }),
		integer("seeding_time_limit", func(x *torrent) int64 { return minutesOf(x.Goals.Time) }),
		integer("inactive_seeding_time_limit", func(x *torrent) int64 { return minutesOf(x.Goals.Idle) }),
		number("max_ratio", func(x *torrent) float64 { return limitOf(x.effective.Ratio) }),
		integer("max_seeding_time", func(x *torrent) int64 { return minutesOf(x.effective.Time) }),
		integer("max_inactive_seeding_time", func(x *torrent) int64 { return minutesOf(x.effective.Idle) }),
		boolean("auto_tmm", func(*torrent) bool { return false }),
		boolean("seq_dl", func(x *torrent) bool { return x.Details.Order.Sequential }),
		boolean("f_l_piece_prio", func(x *torrent) bool { return x.Details.Order.FirstLast }),
		boolean("super_seeding", func(*torrent) bool { return false }),
		boolean("force_start", func(x *torrent) bool { return x.forced }),
		boolean("has_metadata", func(x *torrent) bool { return x.Metadata }),
		private,
	}, live(
		text("state", func(x *torrent) string { return x.state }),
		number("progress", (*torrent).progress),
		number("ratio", func(x *torrent) float64 { return x.ratio }),
		number("popularity", (*torrent).popularity),
		number("availability", (*torrent).availability),
		integer("eta", (*torrent).eta),
		integer("dlspeed", func(x *torrent) int64 { return int64(x.Snapshot.DownRate) }),
		integer("upspeed", func(x *torrent) int64 { return int64(x.Snapshot.UpRate) }),
		integer("completed", func(x *torrent) int64 { return x.HaveWanted }),
		integer("amount_left", func(x *torrent) int64 { return x.Wanted - x.HaveWanted }),
		integer("pieces_have", func(x *torrent) int64 { return int64(x.HavePieces) }),
		integer("downloaded", func(x *torrent) int64 { return x.totals.Downloaded }),
		integer("uploaded", func(x *torrent) int64 { return x.totals.Uploaded }),
		integer("downloaded_session", func(x *torrent) int64 { return x.Downloaded }),
		integer("uploaded_session", func(x *torrent) int64 { return x.Uploaded }),
		integer("total_wasted", func(x *torrent) int64 { return x.totals.Wasted }),
		integer("num_seeds", func(x *torrent) int64 { return int64(x.Seeds) }),
		integer("num_complete", func(x *torrent) int64 { return int64(x.Seeds) }),
		integer("num_leechs", func(x *torrent) int64 { return int64(x.Connected - x.Seeds) }),
		integer("num_incomplete", func(x *torrent) int64 { return int64(max(x.Known-x.Seeds, x.Connected-x.Seeds)) }),
		integer("time_active", (*torrent).timeActive),
		integer("seeding_time", func(x *torrent) int64 { return int64(x.totals.Seeding / time.Second) }),
		integer("last_activity", func(x *torrent) int64 { return unix(x.totals.Active, unix(x.Added, 0)) }),
		integer("seen_complete", (*torrent).seenComplete),
		integer("reannounce", func(*torrent) int64 { return 0 }),
	)...)
	for i := range all {
		all[i].key = string(appendString(nil, all[i].name)) + ":"
	}
	return all
}()

// private is null while it is not known.
var private = field{name: "private",
	append: func(b []byte, x *torrent) []byte {
		if !x.Metadata {
			return append(b, "null"...)
		}
		return strconv.AppendBool(b, x.private)
	},
	compare: func(x, y *torrent) int {
		rank := map[bool]int{true: 1}
		return rank[x.private] - rank[y.private]
	},
}

// appendTorrent appends the values of a torrent for which keep returns true.
func appendTorrent(b []byte, x *torrent, keep func(*field) bool) []byte {
	b = append(b, '{')
	empty := len(b)
	for i := range fields {
		f := &fields[i]
		if !keep(f) {
			continue
		}
		if len(b) > empty {
			b = append(b, ',')
		}
		b = f.append(append(b, f.key...), x)
	}
	return append(b, '}')
}

func everything(*field) bool    { return true }
func withoutHash(f *field) bool { return f.name != "hash" }
func onlyLive(f *field) bool    { return f.isLive }
