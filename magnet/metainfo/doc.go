// Package metainfo parses, checks and creates info dictionaries and torrent files (BEP
// 3), and assembles the metadata that peers send (BEP 9).
//
// An info dictionary is checked once, here. Every other package relies on an Info: the
// pieces cover the files exactly, no sum overflows, every path consists of valid file
// names and stays below the torrent's directory, and no two files have the same path.
// Offsets and lengths are in bytes; pieces and blocks are counted from 0. ParseInfo
// accepts untrusted data and returns an *Error that names the wrong part; the Max
// constants limit what it accepts.
//
// # Names
//
// Torrents are made on one system and opened on another, and some are made by attackers.
// Whatever its names are, a torrent can be opened: each unsafe name is replaced by a safe
// one, the same on every system. File.Spelled and Info.SpelledName keep the original.
//
//	component                                   result
//	empty, ".", "..", and these with            omitted; a path of nothing else is "_"
//	separators, such as "/" and "../"
//	/etc  \\host  (leading separators)          omitted: etc, host
//	a/b  a\b  a/../b  (separators inside)       a_b, a_.._b
//	C:  C:x  C:\x  (a letter and a colon)       C_, C_x, C__x
//	control characters, DEL, line separators    _
//	bytes that are not UTF-8                    _ each
//	overrides of writing direction              _ (they make gpj.exe appear as exe.jpg)
//	CON, nul, COM1, ... (Windows devices)       _CON
//	more than 255 bytes                         truncated, with a hash of the name and its extension
//	more than 100 deep or 4096 bytes            one folder, named by a hash of the folders, and the name
//	the path of an earlier file or of a         numbered: a.txt, a.1.txt
//	directory
//	an invalid name of the torrent              the infohash
//
// Names that only some file systems reject or do not distinguish (reserved characters of
// Windows, trailing dots, case) are kept here, because titles contain them.
// Info.Substitutes returns names for such file systems. The numbering is that of
// libtorrent, so that its downloads are recognised. File.Literal returns where other
// clients may have put a file that has another name here. name.utf-8 and path.utf-8 take
// precedence over name and path if they are valid UTF-8.
//
// Padding files (BEP 47) keep their position among the bytes, but are never stored, and
// need no path. An empty file whose last path component is empty is an empty folder. A
// symbolic link may lead anywhere; Symlink is empty for one that leads out of the
// torrent. The caller decides whether others are created.
//
// # Versions
//
// A torrent has v1 hashes (BEP 3), v2 hashes (BEP 52), or both: a hybrid, whose versions
// are compared. In a v2 torrent each file starts a new piece; the space between files is
// padding, whether the torrent lists it or not. A Digest verifies a piece by all existing
// hashes. Piece layers, which verify the v2 pieces, are not in the info dictionary: they
// come with a torrent file or, by Layers, from peers. A hybrid can be used without them.
package metainfo
