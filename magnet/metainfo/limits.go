package metainfo

import "seedbed/internal/bencode"

// What is refused however well it is formed. Each cap lies past what any real
// torrent needs and bounds what a hostile one can cost.
const (
	// MaxInfo bounds the bytes of an info dictionary, in a file and by BEP 9
	// alike. At 20 bytes a piece that is 3.3 million pieces: 12 TiB in pieces
	// of 4 MiB. (libtorrent takes 10 MB and 2 million pieces.)
	MaxInfo = 64 << 20

	// MaxTorrent bounds the bytes of a torrent file: an info dictionary and
	// room for trackers and the piece layers of a hybrid.
	MaxTorrent = MaxInfo + 64<<20

	// maxPieces of a v2 torrent are as many as MaxInfo has room for in v1.
	maxPieces = MaxInfo / hashLen

	// MaxPieceLength is 512 MiB: libtorrent's cap is one block less, and
	// qBittorrent makes at most 256 MiB. A piece is the least that can be
	// verified, so a huge one lets a liar waste much.
	MaxPieceLength = 512 << 20

	// MaxFiles is a million, ten times the largest trees that people share.
	MaxFiles = 1 << 20

	// MaxDepth is the number of components of a path, as in libtorrent.
	MaxDepth = 100

	// MaxName is the number of bytes of a component: NAME_MAX of Linux and
	// macOS; NTFS takes as many UTF-16 units, which is never less.
	MaxName = 255

	// MaxPath is the number of bytes of a whole path: PATH_MAX of Linux.
	MaxPath = 4096

	// maxLength is more bytes than pieces can cover, and small enough that
	// sums do not overflow.
	maxLength = MaxInfo / hashLen * MaxPieceLength
)

// limits are what the syntax may cost: a file takes about eight tokens, and a
// v2 file tree nests as deep as its paths. An integer that makes no sense is judged where
// it is read, since it may stand where nothing is.
var limits = bencode.Limits{OddInts: true, Depth: 2*MaxDepth + 8, Tokens: 16 << 20, StringLen: MaxInfo}
