package metainfo

import "seedbed/internal/bencode"

// Limits on valid input. Each is above what any real torrent needs and bounds the cost of
// a malicious one.
const (
	// MaxInfo bounds the size of an info dictionary, in a file and via BEP 9. At 20 bytes
	// per piece that is 3.3 million pieces: 12 TiB in pieces of 4 MiB. (libtorrent
	// accepts 10 MB and 2 million pieces.)
	MaxInfo = 64 << 20

	// MaxTorrent bounds the size of a torrent file: an info dictionary plus trackers and
	// the piece layers of a hybrid.
	MaxTorrent = MaxInfo + 64<<20

	// maxPieces is the limit for a v2 torrent: as many pieces as fit into MaxInfo in v1.
	maxPieces = MaxInfo / hashLen

	// MaxPieceLength is 512 MiB: libtorrent's limit is one block less, and qBittorrent
	// makes at most 256 MiB. A piece is the smallest unit that can be verified, so a peer
	// that sends bad data can spoil a whole piece.
	MaxPieceLength = 512 << 20

	// MaxFiles is about a million, ten times the largest trees that people share.
	MaxFiles = 1 << 20

	// MaxDepth is the maximal number of path components, as in libtorrent.
	MaxDepth = 100

	// MaxName is the maximal length of a component in bytes: NAME_MAX of Linux and macOS;
	// NTFS allows as many UTF-16 units, which is never less.
	MaxName = 255

	// MaxPath is the maximal length of a path in bytes: PATH_MAX of Linux.
	MaxPath = 4096

	// maxLength is more bytes than pieces can cover, and small enough that sums do not
	// overflow.
	maxLength = MaxInfo / hashLen * MaxPieceLength
)

// limits bounds the cost of parsing: a file takes about eight tokens, and a v2 file tree
// is nested as deep as its paths. An invalid integer is handled where it is read, because
// it may be in an unused place.
var limits = bencode.Limits{InvalidInts: true, Depth: 2*MaxDepth + 8, Tokens: 16 << 20, StringLen: MaxInfo}
