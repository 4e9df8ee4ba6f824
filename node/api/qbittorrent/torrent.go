package qbittorrent

import (
	"cmp"
	"math"
	"slices"
	"strings"
	"time"

	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/lifecycle"
)

const (
	// etaUnknown is the eta, in seconds, of a torrent that has none: 100 days.
	etaUnknown = 8640000
	// useGlobal is the value of a goal that is that of the settings, and noLimit that of none.
	useGlobal = -2
	noLimit   = -1
)

// A torrent is the state of a torrent at one moment, for the list.
type torrent struct {
	node.Snapshot
	node.Details
	t *node.Torrent

	hash, v1, v2      string
	name, state       string
	savePath, content string
	magnet, tags      string
	totals            node.Totals
	private, forced   bool
	position          int // in the queue, while it is not complete
	now               int64
	ratio             float64
	effective         node.Goals // with those of the settings in place of 0, and -1 for none
}

// torrentOf returns the state of t.
func (h *handler) torrentOf(t *node.Torrent, set *daemon.Settings, now time.Time) *torrent {
	x := &torrent{Snapshot: t.Snapshot(), Details: t.Details(), t: t, hash: t.InfoHash().String(), name: t.Name(), magnet: t.Link(),
		totals: t.Totals(), private: t.IsPrivate(), forced: t.IsForced(), now: now.Unix()}
	v1, v2 := t.Hashes()
	if !v1.IsZero() {
		x.v1 = v1.String()
	}
	if !v2.IsZero() {
		x.v2 = v2.String()
	}
	if x.Wanted > 0 {
		x.ratio = float64(x.totals.Uploaded) / float64(x.Wanted)
	}
	if set.Queue.IsOn() && !x.isComplete() {
		x.position = h.Daemon.QueuePosition(t)
	}
	x.savePath = cmp.Or(x.FinalDir, x.Dir)
	if x.Metadata {
		x.content = x.PathOf(t.Root())
	}
	x.tags = strings.Join(slices.Sorted(slices.Values(x.Labels)), ", ")
	x.effective = node.Goals{Ratio: cmp.Or(x.Goals.Ratio, set.SeedRatio, -1), Idle: cmp.Or(x.Goals.Idle, set.SeedIdle, -1), Time: cmp.Or(x.Goals.Time, set.SeedTime, -1)}
	x.state = stateOf(t.Phase(), &x.Snapshot, x.forced)
	return x
}

// downloadPath returns the folder of the data until it is complete, if that is another one.
func (x *torrent) downloadPath() string {
	if x.FinalDir == "" {
		return ""
	}
	return x.Dir
}

// isComplete reports whether all wanted files are complete.
func (x *torrent) isComplete() bool { return x.Metadata && x.Complete }

// limitOf returns a ratio goal as the interface writes it.
func limitOf(ratio float64) float64 {
	switch {
	case ratio == 0:
		return useGlobal
	case ratio < 0:
		return noLimit
	case ratio <= leastRatio:
		return 0
	}
	return ratio
}

// minutesOf returns a time goal as the interface writes it, in minutes.
func minutesOf(goal time.Duration) int64 {
	switch {
	case goal == 0:
		return useGlobal
	case goal < 0:
		return noLimit
	}
	return int64(goal / time.Minute)
}

// isGone reports whether a torrent is being added or removed, and is therefore in no list.
func isGone(t *node.Torrent) bool {
	p := t.Phase()
	return p == lifecycle.Removing || p == lifecycle.Ended || p == lifecycle.Adding
}

// stateOf returns the state of a torrent by its name in qBittorrent.
func stateOf(p lifecycle.Phase, s *node.Snapshot, forced bool) string {
	if p != lifecycle.Parked {
		p = s.State // that of a running swarm is more exact
	}
	up := s.Metadata && s.Complete
	either := func(whenUp, whenDown string) string {
		if up {
			return whenUp
		}
		return whenDown
	}
	switch p {
	case lifecycle.Missing:
		return "missingFiles"
	case lifecycle.Failed:
		return "error"
	case lifecycle.Moving:
		return "moving"
	case lifecycle.Paused:
		return either("stoppedUP", "stoppedDL")
	case lifecycle.Checking:
		return either("checkingUP", "checkingDL")
	case lifecycle.Queued:
		return either("queuedUP", "queuedDL")
	case lifecycle.Adding:
		return "checkingResumeData"
	}
	switch {
	case s.Paused != nil: // the data cannot be read or written
		return "error"
	case p == lifecycle.Metadata && forced:
		return "forcedMetaDL"
	case p == lifecycle.Metadata:
		return "metaDL"
	case forced:
		return either("forcedUP", "forcedDL")
	case up && s.UpRate >= 1:
		return "uploading"
	case up:
		return "stalledUP"
	case s.DownRate >= 1:
		return "downloading"
	}
	return "stalledDL"
}

// progress returns the verified part of the wanted files, from 0 to 1. While they are checked, it
// returns the part that was checked.
func (x *torrent) progress() float64 {
	switch {
	case x.State == lifecycle.Checking && x.ToCheck > 0:
		return float64(x.Checked) / float64(x.ToCheck)
	case x.Wanted > 0:
		return float64(x.HaveWanted) / float64(x.Wanted)
	case x.Metadata && x.Complete:
		return 1
	}
	return 0
}

// eta returns the seconds until the torrent is complete.
func (x *torrent) eta() int64 {
	left := x.Wanted - x.HaveWanted
	if x.State != lifecycle.Downloading || x.Snapshot.DownRate < 1 || left <= 0 {
		return etaUnknown
	}
	return int64(min(math.Ceil(float64(left)/x.Snapshot.DownRate), etaUnknown))
}

// totalSize returns the bytes of all files, or -1 while they are not known.
func (x *torrent) totalSize() int64 {
	if !x.Metadata {
		return -1
	}
	return x.Size
}

// pieces returns the number of pieces, or -1 while it is not known.
func (x *torrent) pieces() int64 {
	if !x.Metadata {
		return -1
	}
	return int64(x.Pieces)
}

// availability returns the copies of the data among the connected peers, or -1 if the torrent is
// complete.
func (x *torrent) availability() float64 {
	if x.isComplete() {
		return -1
	}
	return x.Availability
}

// timeActive returns the seconds in which the torrent was not stopped.
func (x *torrent) timeActive() int64 {
	return int64((x.totals.Downloading + x.totals.Seeding) / time.Second)
}

// seenComplete returns now if the connected peers together have all data, and 0 otherwise.
func (x *torrent) seenComplete() int64 {
	if x.Seeds > 0 || x.Availability >= 1 {
		return x.now
	}
	return 0
}

// popularity returns the ratio divided by the months in which the torrent was active.
func (x *torrent) popularity() float64 {
	const month = 30 * 24 * time.Hour
	active := x.totals.Downloading + x.totals.Seeding
	if active <= 0 {
		return 0
	}
	return x.ratio / (float64(active) / float64(month))
}

// unix returns a time in seconds, or otherwise if there is none.
func unix(t time.Time, otherwise int64) int64 {
	if t.IsZero() {
		return otherwise
	}
	return t.Unix()
}
