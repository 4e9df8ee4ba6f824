package transmission

import (
	"cmp"
	"encoding/base64"
	"mime"
	"path"
	"time"

	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/lifecycle"
)

// kind is the JSON type of a field.
type kind uint8

const (
	kindInteger kind = iota
	kindDouble
	kindBoolean
	kindString
	kindArray
	kindObject
)

// A field is a field of torrent-get.
type field struct {
	names [dialects]string
	keys  [dialects]string // the names with their quotes and colon
	kind  kind
	write func(*writer, *row)
}

// torrentFields has the fields by their current names.
var torrentFields = map[string]*field{}

func define(name string, k kind, write func(*writer, *row)) {
	f := &field{kind: k, write: write}
	for d := range dialects {
		f.names[d] = d.inTorrent(name)
		f.keys[d] = `"` + f.names[d] + `":`
	}
	torrentFields[name] = f
}

func integer(name string, get func(*row) int64) {
	define(name, kindInteger, func(w *writer, r *row) { w.integer(get(r)) })
}

func double(name string, get func(*row) float64) {
	define(name, kindDouble, func(w *writer, r *row) { w.double(get(r)) })
}

func boolean(name string, get func(*row) bool) {
	define(name, kindBoolean, func(w *writer, r *row) { w.boolean(get(r)) })
}

func text(name string, get func(*row) string) {
	define(name, kindString, func(w *writer, r *row) { w.text(get(r)) })
}

func array(name string, write func(*writer, *row)) {
	define(name, kindArray, func(w *writer, r *row) {
		w.open('[')
		write(w, r)
		w.close(']')
	})
}

// The states of a torrent.
const (
	stopped         = 0
	verifying       = 2
	downloadWaiting = 3
	downloading     = 4
	seedWaiting     = 5
	seeding         = 6
)

// status returns the state of a torrent. A torrent whose files are being moved counts as one that is
// being checked, because media managers import the files of a complete one.
func status(r *row) int64 {
	s := r.snapshot()
	switch s.State {
	case lifecycle.Paused, lifecycle.Missing, lifecycle.Failed, lifecycle.Removing, lifecycle.Ended:
		return stopped
	case lifecycle.Checking, lifecycle.Moving:
		return verifying
	case lifecycle.Seeding, lifecycle.Parked:
		return seeding
	case lifecycle.Adding, lifecycle.Queued:
		if s.Wanted > 0 && s.HaveWanted == s.Wanted {
			return seedWaiting
		}
		return downloadWaiting
	}
	return downloading
}

// Values of error. Every error is a local one, because there are no trackers.
const (
	noError    = 0
	localError = 3
)

// Values of eta.
const (
	etaNone    = -1
	etaUnknown = -2
)

func eta(r *row) int64 {
	s := r.snapshot()
	switch {
	case s.State != lifecycle.Downloading:
		return etaNone
	case s.DownRate < 1:
		return etaUnknown
	}
	return int64(float64(s.Wanted-s.HaveWanted) / s.DownRate)
}

// share returns part/all, or 0.
func share(part, all int64) float64 {
	if all <= 0 {
		return 0
	}
	return float64(part) / float64(all)
}

// unix returns a time in Unix seconds, or 0 if there is none.
func unix(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.Unix()
}

// The modes of a seeding goal.
const (
	ofSession = 0
	ofTorrent = 1
	unlimited = 2
)

// goalMode returns the mode of a goal of a torrent: see node.Goals.
func goalMode[T float64 | time.Duration](goal T) int64 {
	switch {
	case goal == 0:
		return ofSession
	case goal < 0:
		return unlimited
	}
	return ofTorrent
}

// goalOr returns the goal of a torrent, or that of the session.
func goalOr[T float64 | time.Duration](goal, session T) T {
	if goal > 0 {
		return goal
	}
	return session
}

// minutes returns a duration in minutes, rounded up.
func minutes(d time.Duration) int64 { return int64((d + time.Minute - 1) / time.Minute) }

// kilo is the number of bytes in the unit of limits.
const kilo = 1000

// defaultLimit is the limit, in kB/s, that is reported if there is none, as in Transmission.
const defaultLimit = 100

func limit(rate int64) int64 {
	if rate == 0 {
		return defaultLimit
	}
	return inKilo(rate)
}

// inKilo returns a rate in the unit of limits, rounded up.
func inKilo(rate int64) int64 { return (rate + kilo - 1) / kilo }

func isSending(p *node.PeerInfo) bool { return p.DownRate >= 1 }

func nothing(*row) int64         { return 0 }
func noText(*row) string         { return "" }
func noElements(*writer, *row)   {}
func peerLimit(r *row) int64     { return int64(cmp.Or(r.detail().MaxPeers, r.settings().MaxConns)) }
func percentDone(r *row) float64 { s := r.snapshot(); return share(s.HaveWanted, s.Wanted) }

func init() {
	integer("id", func(r *row) int64 { return r.Number(r.t) })
	text("hash_string", func(r *row) string { return r.t.InfoHash().String() })
	text("name", func(r *row) string { return r.t.Name() })
	text("magnet_link", func(r *row) string { return r.t.Link() })
	// Incomplete data, and data that is moving there, may still be elsewhere.
	text("download_dir", func(r *row) string { return cmp.Or(r.detail().MoveTo, r.detail().FinalDir, r.detail().Dir) })
	array("labels", func(w *writer, r *row) {
		for _, l := range r.detail().Labels {
			w.text(l)
		}
	})
	text("group", noText)
	text("torrent_file", noText)
	text("comment", func(r *row) string { return r.metainfo().Comment })
	text("creator", func(r *row) string { return r.metainfo().CreatedBy })
	text("source", noText)
	integer("date_created", func(r *row) int64 { return r.metainfo().CreationDate })

	integer("status", status)
	integer("error", func(r *row) int64 {
		if r.snapshot().Paused != nil {
			return localError
		}
		return noError
	})
	text("error_string", func(r *row) string {
		if err := r.snapshot().Paused; err != nil {
			return err.Error()
		}
		return ""
	})
	boolean("is_stalled", func(r *row) bool {
		s := r.snapshot()
		return (s.State == lifecycle.Downloading || s.State == lifecycle.Metadata) && s.DownRate < 1
	})
	boolean("is_finished", func(r *row) bool { return r.detail().Finished })
	boolean("is_private", func(r *row) bool { return r.t.IsPrivate() })
	integer("eta", eta)
	integer("eta_idle", func(*row) int64 { return etaNone })
	integer("queue_position", func(r *row) int64 { return max(int64(r.QueuePosition(r.t))-1, 0) })

	integer("added_date", func(r *row) int64 { return unix(r.detail().Added) })
	integer("activity_date", func(r *row) int64 { return unix(r.total().Active) })
	integer("done_date", func(r *row) int64 { return unix(r.total().Completed) })
	integer("edit_date", func(r *row) int64 { return unix(r.detail().Edited) })
	integer("start_date", func(r *row) int64 { return unix(r.detail().Added) })
	integer("manual_announce_time", func(*row) int64 { return -1 })
	integer("seconds_downloading", func(r *row) int64 { return int64(r.total().Downloading / time.Second) })
	integer("seconds_seeding", func(r *row) int64 { return int64(r.total().Seeding / time.Second) })

	// Without metadata the size is 0, which media managers show as queued.
	integer("total_size", func(r *row) int64 { return r.snapshot().Size })
	integer("size_when_done", func(r *row) int64 { return r.snapshot().Wanted })
	integer("left_until_done", func(r *row) int64 { s := r.snapshot(); return s.Wanted - s.HaveWanted })
	integer("have_valid", func(r *row) int64 { return r.snapshot().Have })
	integer("have_unchecked", nothing)
	integer("desired_available", func(r *row) int64 {
		s := r.snapshot()
		if s.Seeds > 0 || s.Availability >= 1 {
			return s.Wanted - s.HaveWanted
		}
		return 0
	})
	double("percent_done", percentDone)
	double("percent_complete", func(r *row) float64 { s := r.snapshot(); return share(s.Have, s.Size) })
	double("metadata_percent_complete", func(r *row) float64 {
		s := r.snapshot()
		if s.Metadata {
			return 1
		}
		return share(s.MetaHave, s.MetaSize)
	})
	double("recheck_progress", func(r *row) float64 {
		if status(r) != verifying {
			return 0
		}
		s := r.snapshot()
		return share(s.Checked, s.ToCheck)
	})

	integer("rate_download", func(r *row) int64 { return int64(r.snapshot().DownRate) })
	integer("rate_upload", func(r *row) int64 { return int64(r.snapshot().UpRate) })
	// Media managers divide the upload by this and compare the result with the ratio that they have
	// set, which is based on the wanted size. Data that was fetched twice must not make it smaller.
	integer("downloaded_ever", func(r *row) int64 { return min(r.total().Downloaded, r.snapshot().Have) })
	integer("uploaded_ever", func(r *row) int64 { return r.total().Uploaded })
	integer("corrupt_ever", func(r *row) int64 { return r.total().Wasted })
	double("upload_ratio", func(r *row) float64 {
		if s := r.snapshot(); s.Wanted > 0 {
			return share(r.total().Uploaded, s.Wanted)
		}
		return -1
	})

	integer("download_limit", func(r *row) int64 { return limit(r.detail().DownRate) })
	boolean("download_limited", func(r *row) bool { return r.detail().DownRate > 0 })
	integer("upload_limit", func(r *row) int64 { return limit(r.detail().UpRate) })
	boolean("upload_limited", func(r *row) bool { return r.detail().UpRate > 0 })
	boolean("honors_session_limits", func(*row) bool { return true })
	integer("bandwidth_priority", nothing)
	integer("seed_ratio_mode", func(r *row) int64 { return goalMode(r.detail().Goals.Ratio) })
	double("seed_ratio_limit", func(r *row) float64 {
		return goalOr(r.detail().Goals.Ratio, goalOr(r.settings().SeedRatio, defaultRatio))
	})
	integer("seed_idle_mode", func(r *row) int64 { return goalMode(r.detail().Goals.Idle) })
	integer("seed_idle_limit", func(r *row) int64 {
		return minutes(goalOr(r.detail().Goals.Idle, goalOr(r.settings().SeedIdle, defaultIdle)))
	})
	boolean("sequential_download", func(r *row) bool { return r.detail().Order.Sequential })
	integer("sequential_download_from_piece", func(r *row) int64 { return int64(r.detail().Order.From) })

	integer("peers_connected", func(r *row) int64 { return int64(r.snapshot().Connected) })
	integer("peers_sending_to_us", func(r *row) int64 { return r.count(false, isSending) })
	integer("peers_getting_from_us", func(r *row) int64 { return r.count(false, func(p *node.PeerInfo) bool { return p.UpRate >= 1 }) })
	integer("peer_limit", peerLimit)
	integer("max_connected_peers", peerLimit)
	integer("webseeds_sending_to_us", func(r *row) int64 { return r.count(true, isSending) })
	array("peers", writePeers)
	define("peers_from", kindObject, writeSources)
	array("webseeds", func(w *writer, r *row) {
		for _, u := range r.metainfo().WebSeeds {
			w.text(u)
		}
	})
	array("webseeds_ex", func(w *writer, r *row) {
		for _, u := range r.metainfo().WebSeeds {
			w.open('{')
			w.key("url")
			w.text(u)
			w.key("is_downloading")
			w.boolean(r.count(true, isSending) > 0)
			w.key("download_bytes_per_second")
			w.integer(0)
			w.close('}')
		}
	})
	array("trackers", noElements)
	array("tracker_stats", noElements)
	text("tracker_list", noText)

	integer("piece_count", func(r *row) int64 { return int64(r.snapshot().Pieces) })
	integer("piece_size", func(r *row) int64 { _, size := r.t.Layout(); return size })
	text("pieces", func(r *row) string {
		if c := r.content(); c != nil {
			return base64.StdEncoding.EncodeToString(c.pieces.Have.AppendTo(nil))
		}
		return ""
	})
	array("availability", func(w *writer, r *row) {
		c := r.content()
		if c == nil {
			return
		}
		for i := range c.pieces.Have.Len() {
			switch {
			case c.pieces.Have.Has(i):
				w.integer(-1)
			case i < len(c.pieces.Peers):
				w.integer(int64(c.pieces.Peers[i]))
			default:
				w.integer(0)
			}
		}
	})
	initFileFields()
}

// initFileFields defines the fields about files. Their indices count from 0 and leave out
// padding.
func initFileFields() {
	integer("file_count", func(r *row) int64 { files, _ := r.t.Layout(); return int64(files) })
	text("primary_mime_type", func(r *row) string {
		return cmp.Or(mime.TypeByExtension(path.Ext(r.t.Name())), "application/octet-stream")
	})
	array("files", func(w *writer, r *row) {
		r.eachFile(func(index int, f *metainfo.File, isWanted bool, have int64) {
			w.open('{')
			w.key("bytes_completed")
			w.integer(have)
			first, end := r.disk.torrent.Info.PiecesOf(index)
			w.key("begin_piece")
			w.integer(int64(first))
			w.key("end_piece")
			w.integer(int64(end))
			w.key("length")
			w.integer(f.Length)
			w.key("name")
			w.text(r.disk.paths[index])
			w.close('}')
		})
	})
	array("file_stats", func(w *writer, r *row) {
		next := r.priorities()
		r.eachFile(func(_ int, f *metainfo.File, isWanted bool, have int64) {
			w.open('{')
			w.key("bytes_completed")
			w.integer(have)
			w.key("priority")
			w.integer(next())
			w.key("wanted")
			w.boolean(isWanted)
			w.close('}')
		})
	})
	array("bytes_completed", func(w *writer, r *row) {
		r.eachFile(func(_ int, _ *metainfo.File, _ bool, have int64) { w.integer(have) })
	})
	array("priorities", func(w *writer, r *row) {
		next := r.priorities()
		r.eachFile(func(int, *metainfo.File, bool, int64) { w.integer(next()) })
	})
	array("wanted", func(w *writer, r *row) {
		r.eachFile(func(_ int, _ *metainfo.File, isWanted bool, _ int64) {
			switch {
			case w.d == jsonRPC:
				w.boolean(isWanted)
			case isWanted:
				w.integer(1)
			default:
				w.integer(0)
			}
		})
	})
}
