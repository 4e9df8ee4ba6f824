package qbittorrent

import (
	"cmp"
	"context"
	"encoding/hex"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"seedbed/internal/await"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// maxConnections is the limit for the connections of one torrent that the interface reports.
const maxConnections = 100

// Handlers about one torrent.

func properties(c *call) error {
	t, err := c.one()
	if err != nil {
		return err
	}
	set := c.Daemon.Settings()
	x := c.torrentOf(t, &set, time.Now())
	pieceSize, created := int64(-1), int64(-1)
	m, err := onDisk(c, t.Metainfo)
	switch {
	case err != nil:
		return err
	case m == nil:
		m = &metainfo.Torrent{}
	default:
		pieceSize, created = m.Info.PieceLength, m.CreationDate
	}
	limit := func(n int64) int64 {
		if n == 0 {
			return -1
		}
		return n
	}
	o := newObject(nil)
	o.str("infohash_v1", x.v1)
	o.str("infohash_v2", x.v2)
	o.str("hash", x.hash)
	o.str("name", x.name)
	o.str("save_path", x.savePath)
	o.str("download_path", x.downloadPath())
	o.str("comment", m.Comment)
	o.str("created_by", m.CreatedBy)
	o.int("addition_date", unix(x.Added, -1))
	o.int("completion_date", unix(x.totals.Completed, -1))
	o.int("creation_date", created)
	o.int("last_seen", cmp.Or(x.seenComplete(), -1))
	o.int("time_elapsed", x.timeActive())
	o.int("seeding_time", int64(x.totals.Seeding/time.Second))
	o.int("eta", x.eta())
	o.int("nb_connections", int64(x.Connected))
	o.int("nb_connections_limit", maxConnections)
	o.int("total_downloaded", x.totals.Downloaded)
	o.int("total_downloaded_session", x.Downloaded)
	o.int("total_uploaded", x.totals.Uploaded)
	o.int("total_uploaded_session", x.Uploaded)
	o.int("dl_speed", int64(x.Snapshot.DownRate))
	o.int("dl_speed_avg", average(x.totals.Downloaded, x.totals.Downloading))
	o.int("up_speed", int64(x.Snapshot.UpRate))
	o.int("up_speed_avg", average(x.totals.Uploaded, x.totals.Downloading+x.totals.Seeding))
	o.int("dl_limit", limit(x.Details.DownRate))
	o.int("up_limit", limit(x.Details.UpRate))
	o.int("total_wasted", x.totals.Wasted)
	o.int("seeds", int64(x.Seeds))
	o.int("seeds_total", int64(x.Seeds))
	o.int("peers", int64(x.Connected-x.Seeds))
	o.int("peers_total", int64(max(x.Known-x.Seeds, 0)))
	o.float("share_ratio", x.ratio)
	o.float("popularity", x.popularity())
	o.float("availability", x.availability())
	o.float("progress", x.progress())
	o.int("reannounce", 0)
	o.int("total_size", x.totalSize())
	o.int("pieces_num", x.pieces())
	o.int("pieces_have", int64(x.HavePieces))
	o.int("piece_size", pieceSize)
	o.bool("is_private", x.private)
	o.name("private")
	o.b = private.append(o.b, x)
	o.bool("has_metadata", x.Metadata)
	return c.json(o.end())
}

// average returns bytes a second, or -1 if the duration is shorter than a second.
func average(n int64, d time.Duration) int64 {
	if d < time.Second {
		return -1
	}
	return int64(float64(n) / d.Seconds())
}

// errNoMetadata is the answer if the metadata is needed but not known.
var errNoMetadata = fail(http.StatusConflict, "Torrent's metadata has not yet downloaded")

// maxReads limits the reads at a time. Each takes a thread while the disk hangs, and clients ask
// again and again.
const maxReads = 64

// onDisk returns the result of read, which reads the state directory if the torrent does not run. It
// returns an error if the disk does not answer within answerWithin.
func onDisk[T any](c *call, read func() T) (x T, err error) {
	ctx, cancel := context.WithTimeout(c.node.Context(), answerWithin)
	defer cancel()
	late := fail(http.StatusServiceUnavailable, "the disk did not answer in time")
	select {
	case c.reads <- struct{}{}:
	case <-ctx.Done():
		return x, late
	}
	x, ended := await.Value(ctx, func() T {
		defer func() { <-c.reads }()
		return read()
	})
	if !ended {
		return x, late
	}
	return x, nil
}

// trackers lists the sources of peers as qBittorrent does. There are never trackers.
func trackers(c *call) error {
	t, err := c.one()
	if err != nil {
		return err
	}
	_, noDHT := c.node.Items()
	list := []source{{name: "** [DHT] **", of: node.FromDHT, on: noDHT == nil}, {name: "** [PeX] **", of: node.FromPEX, on: true}, {name: "** [LSD] **", of: node.FromLSD, on: !c.Daemon.Settings().NoLSD}}
	for _, p := range t.Peers() {
		for i := range list {
			switch {
			case p.Source&list[i].of == 0:
			case p.Seed:
				list[i].seeds++
			default:
				list[i].leeches++
			}
		}
	}
	isPrivate := t.IsPrivate()
	return c.json(appendList(nil, list, func(b []byte, s source) []byte { return s.append(b, isPrivate) }))
}

// A source is one way to find peers.
type source struct {
	name           string
	of             node.PeerSource
	on             bool
	seeds, leeches int64
}

func (s *source) append(b []byte, isPrivate bool) []byte {
	const working, disabled = 2, 0
	status, message := int64(disabled), ""
	switch {
	case isPrivate:
		message = "This torrent is private"
	case s.on:
		status = working
	}
	o := newObject(b)
	o.str("url", s.name)
	o.int("tier", -1)
	o.str("msg", message)
	o.int("status", status)
	o.int("num_peers", 0)
	o.int("num_seeds", s.seeds)
	o.int("num_leeches", s.leeches)
	o.int("num_downloaded", 0)
	return o.end()
}

func webSeeds(c *call) error {
	t, err := c.one()
	if err != nil {
		return err
	}
	m, err := onDisk(c, t.Metainfo)
	if err != nil {
		return err
	}
	var urls []string
	if m != nil {
		urls = m.WebSeeds
	}
	return c.json(appendList(nil, urls, func(b []byte, url string) []byte {
		o := newObject(b)
		o.str("url", url)
		return o.end()
	}))
}

// contents are the files of a torrent.
type contents struct {
	*metainfo.Info
	stored []int    // the indices of the files without padding, which are not shown
	wanted []int    // indices
	have   []int64  // verified bytes, by index
	paths  []string // below the folder that contains the torrent, by index

	priorities []node.Priority // by the numbers of the interface
}

// contents returns the files of a torrent. The interface numbers them by their index in stored.
func (c *call) contents(t *node.Torrent) (x contents, err error) {
	if x, err = onDisk(c, func() contents {
		return contents{Info: t.Info(), wanted: t.Files(), have: t.FileProgress(), paths: t.Paths()}
	}); err != nil {
		return x, err
	}
	if x.Info == nil || len(x.have) != len(x.Files) || len(x.paths) != len(x.Files) {
		return x, errNoMetadata
	}
	for i := range x.Files {
		if !x.Files[i].Pad {
			x.stored = append(x.stored, i)
		}
	}
	x.priorities = t.Details().Priorities.Of(len(x.stored))
	return x, nil
}

func files(c *call) error {
	t, err := c.one()
	if err != nil {
		return err
	}
	x, err := c.contents(t)
	if errors.Is(err, errNoMetadata) {
		return c.json([]byte("[]"))
	}
	if err != nil {
		return err
	}
	s := t.Snapshot()
	numbers := make([]int, len(x.stored))
	for i := range numbers {
		numbers[i] = i
	}
	if c.has("indexes") {
		if numbers, err = indexes(c.list("indexes", "|"), len(x.stored)); err != nil {
			return err
		}
	}
	return c.json(appendList(nil, numbers, func(b []byte, n int) []byte { return x.appendFile(b, n, &s) }))
}

// filePriorities are the values of the interface for the priorities of wanted files. It has no low one.
var filePriorities = map[node.Priority]int64{node.PriorityLow: 1, node.PriorityNormal: 1, node.PriorityHigh: 6, node.PriorityMaximum: 7}

// appendFile appends the file with a number.
func (x *contents) appendFile(b []byte, n int, s *node.Snapshot) []byte {
	i := x.stored[n]
	f := &x.Files[i]
	first, end := x.PiecesOf(i)
	priority, progress, availability := int64(0), 1.0, s.Availability
	if slices.Contains(x.wanted, i) {
		priority = filePriorities[x.priorities[n]]
	}
	if f.Length > 0 {
		progress = float64(x.have[i]) / float64(f.Length)
	}
	if s.Complete {
		availability = -1
	}
	o := newObject(b)
	o.int("index", int64(n))
	o.str("name", x.paths[i])
	o.int("size", f.Length)
	o.float("progress", progress)
	o.int("priority", priority)
	o.float("availability", availability)
	if n == 0 {
		o.bool("is_seed", s.Complete)
	}
	o.name("piece_range")
	o.b = appendList(o.b, []int{first, max(end-1, first)}, func(b []byte, p int) []byte { return strconv.AppendInt(b, int64(p), 10) })
	return o.end()
}

// indexes parses numbers of files.
func indexes(list []string, count int) (numbers []int, err error) {
	for _, s := range list {
		n, err := strconv.Atoi(s)
		if err != nil {
			return nil, fail(http.StatusBadRequest, "File IDs must be integers")
		}
		if n < 0 || n >= count {
			return nil, fail(http.StatusConflict, "File ID is not valid")
		}
		numbers = append(numbers, n)
	}
	return numbers, nil
}

func pieceHashes(c *call) error {
	t, err := c.one()
	if err != nil {
		return err
	}
	info, err := onDisk(c, t.Info)
	if err != nil {
		return err
	}
	count := 0
	if info != nil && info.HasV1() {
		count = info.NumPieces()
	}
	return c.json(appendEach(nil, count, func(b []byte, i int) []byte {
		hash := info.PieceHash(i)
		return append(hex.AppendEncode(append(b, '"'), hash[:]), '"')
	}))
}

// pieceStates answers with a number for each piece: 2 if it is verified, 1 if it is being downloaded,
// and 0 otherwise.
func pieceStates(c *call) error {
	t, err := c.one()
	if err != nil {
		return err
	}
	p, err := onDisk(c, t.Pieces)
	if err != nil {
		return err
	}
	return c.json(appendEach(nil, p.Have.Len(), func(b []byte, i int) []byte {
		switch {
		case p.Have.Has(i):
			return append(b, '2')
		case p.Begun.Has(i):
			return append(b, '1')
		default:
			return append(b, '0')
		}
	}))
}

// export answers with the .torrent file.
func export(c *call) error {
	t, err := c.one()
	if err != nil {
		return err
	}
	m, err := onDisk(c, t.Metainfo)
	if err != nil {
		return err
	}
	if m == nil {
		return fail(http.StatusConflict, "Unable to export torrent file. Error: Missing metadata")
	}
	c.w.Header().Set("Content-Type", "application/x-bittorrent")
	c.w.Header().Set("Content-Disposition", `attachment; filename="`+t.InfoHash().String()+`.torrent"`)
	_, _ = c.w.Write(m.Append(nil)) // an error means that the client has gone
	return nil
}
