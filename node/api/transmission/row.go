package transmission

import (
	"seedbed/internal/await"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// A row is a torrent in an answer. Each part that its fields show is read once, when the first field
// needs it.
type row struct {
	*request
	t       *node.Torrent
	known   known // which of the following were read for t
	snap    node.Snapshot
	details node.Details
	totals  node.Totals
	peers   []node.PeerInfo
	disk    *content
}

// content is the metadata and the progress of a torrent.
type content struct {
	torrent *metainfo.Torrent
	files   []int64      // the verified bytes of each of Info.Files
	wanted  map[int]bool // which of Info.Files are wanted
	paths   []string     // of each of Info.Files below the download folder
	pieces  node.Pieces
}

type known uint8

const (
	knowsSnapshot known = 1 << iota
	knowsDetails
	knowsTotals
	knowsPeers
	knowsContent
)

// lacks reports whether a part was not read yet, and records that it is read now.
func (r *row) lacks(k known) bool {
	if r.known&k != 0 {
		return false
	}
	r.known |= k
	return true
}

func (r *row) snapshot() *node.Snapshot {
	if r.lacks(knowsSnapshot) {
		r.snap = r.t.Snapshot()
	}
	return &r.snap
}

func (r *row) detail() *node.Details {
	if r.lacks(knowsDetails) {
		r.details = r.t.Details()
	}
	return &r.details
}

func (r *row) total() *node.Totals {
	if r.lacks(knowsTotals) {
		r.totals = r.t.Totals()
	}
	return &r.totals
}

func (r *row) connected() []node.PeerInfo {
	if r.lacks(knowsPeers) {
		r.peers = r.t.Peers()
	}
	return r.peers
}

// count returns the number of connected peers, or of web seeds, for which counts returns true.
func (r *row) count(webSeeds bool, counts func(*node.PeerInfo) bool) (n int64) {
	for i := range r.connected() {
		if p := &r.peers[i]; p.WebSeed == webSeeds && counts(p) {
			n++
		}
	}
	return n
}

// content returns the content, or nil while the metadata is not known. That of a torrent that does
// not run is on the disk, which may hang: then it counts as unknown.
func (r *row) content() *content {
	if r.lacks(knowsContent) {
		t := r.t
		r.disk, _ = await.Value(r.patience, func() *content {
			c := &content{torrent: t.Metainfo(), files: t.FileProgress(), paths: t.Paths(), pieces: t.Pieces(), wanted: map[int]bool{}}
			if c.torrent == nil || c.files == nil || c.paths == nil {
				return nil
			}
			for _, i := range t.Files() {
				c.wanted[i] = true
			}
			return c
		})
	}
	return r.disk
}

// metainfo returns the .torrent file, or an empty one while the metadata is not known.
func (r *row) metainfo() *metainfo.Torrent {
	if c := r.content(); c != nil {
		return c.torrent
	}
	return new(metainfo.Torrent)
}

// priorities returns a function that returns the priority of one file after the other: -1, 0 or 1.
func (r *row) priorities() func() int64 {
	files, _ := r.t.Layout()
	list := r.detail().Priorities.Of(files)
	return func() (p int64) {
		if len(list) > 0 {
			p, list = int64(min(list[0], node.PriorityHigh)), list[1:]
		}
		return p
	}
}

// eachFile calls do for each file: with its index in Info.Files, whether it is wanted, and its
// verified bytes.
func (r *row) eachFile(do func(index int, f *metainfo.File, isWanted bool, have int64)) {
	c := r.content()
	if c == nil {
		return
	}
	for i := range c.torrent.Info.Files {
		if f := &c.torrent.Info.Files[i]; !f.Pad {
			do(i, f, c.wanted[i], c.files[i])
		}
	}
}
