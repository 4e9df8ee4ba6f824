// Package catalogue shares the torrents whose files are in an object store: one for each torrent file below .seedbed/torrents/ there.
//
// A Catalogue belongs to one node and uses only its exported API. It lists the store at the start and then every minute, or less often if it is large,
// loads what is new, and adds it to the session of the node as torrents of objects (node.Spec.Objects). What has left the
// store leaves the node too, but not at once, because a store may list too little (absence.go). What each object was is
// kept in the state directory, so that a restart loads only what has changed.
//
// The content of an object decides which torrent it is; its name only has to end in ".torrent". Objects that are no torrent
// files, or are too large, cost a warning and are not loaded again until they change. A torrent that the user has added
// is left alone.
//
// Check, Put and Remove are for those who change the catalogue of a store. They need no node.
package catalogue

import (
	"time"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// folder is the folder of the catalogue in the store. It begins the names of the objects.
const folder = objectstore.OwnFolder + "/torrents/"

// suffix ends the names of the torrent files.
const suffix = ".torrent"

const (
	// interval is how often the store is listed at most. Stores charge for listings, so that a large catalogue is listed less often:
	// see listingPause.
	interval = time.Minute
	// listPage is the number of objects that a store lists in one answer, and maxListRequests how many answers a minute a node asks for.
	listPage        = 1000
	maxListRequests = 10
	// maxTorrents is the maximum number of objects of a catalogue that are shared. What a store lists after these is left out.
	maxTorrents = 250_000
	// maxFile is the maximum size of a torrent file in bytes.
	maxFile = min(32<<20, metainfo.MaxTorrent)
	// maxLoading is the maximum number of torrent files that are loaded at the same time, and maxLoadingBytes that of their
	// bytes.
	maxLoading      = 32
	maxLoadingBytes = maxFile
	// maxRound is the maximum number of objects that are loaded between two listings.
	maxRound = 20_000
	// maxWarnings is the maximum number of objects about which one round warns one by one.
	maxWarnings = 10
)
