// Package metainfo reads, checks and makes info dictionaries and torrent files
// (BEP 3), and assembles the metadata that peers send (BEP 9).
//
// An info dictionary is checked once, here. Every other package relies on an Info: the
// pieces cover the files exactly, no sum overflows, every path is made
// of names that a file system can hold and stays below the torrent's directory,
// and no two files are stored in one place. Offsets and lengths are in bytes,
// pieces and blocks are counted from 0. ParseInfo takes what anybody sent and returns
// an *Error that names the bad part; the Max constants bound what it takes.
//
// # Names
//
// Torrents are made on one system and opened on another, and some are made by
// attackers. Whatever the names are, the torrent opens: each name that is not safe is
// replaced by one that is, and always by the same, on every system. File.Spelled and Info.SpelledName keep what the torrent says.
//
//	component                                   what becomes of it
//	empty, ".", "..", and these with            left out; a path of nothing else is "_"
//	separators, such as "/" and "../"
//	/etc  \\host  (leading separators)          left out: etc, host
//	a/b  a\b  a/../b  (separators inside)       a_b, a_.._b
//	C:  C:x  C:\x  (a letter and a colon)       C_, C_x, C__x
//	control characters, DEL, line separators    _
//	bytes that are not UTF-8                    _ each
//	overrides of writing direction              _ (they let gpj.exe be shown as exe.jpg)
//	CON, nul, COM1, ... (devices of Windows)    _CON
//	more than 255 bytes                         cut, with a hash of the whole, keeping the extension
//	more than 100 deep or 4096 bytes            one folder, named by a hash of the folders, and the name
//	the path of an earlier file or of a         numbered: a.txt, a.1.txt
//	directory
//	a name of the torrent that names nothing    the infohash
//
// What a file system refuses or does not tell apart, and others hold (reserved
// characters of Windows, trailing dots, case), is kept here, since titles have it.
// Info.Substitutes has names for such file systems. libtorrent's numbering is
// copied, so that its downloads are recognised. File.Literal tells where others may
// have put a file that has another name here. name.utf-8 and path.utf-8 go before
// name and path when they are UTF-8.
//
// Padding files (BEP 47) keep their place among the bytes; they are never
// stored, and need no path. A file of no bytes whose last component is empty is an
// empty folder. A symbolic link may lead anywhere; Symlink is empty of one that
// leads out of the torrent, and whether others are made is for the caller to say.
//
// # Versions
//
// A torrent has a v1 side (BEP 3), a v2 side (BEP 52), or both: a hybrid, whose
// sides are compared. Files of a v2 torrent begin at a piece each; what is between
// them is padding, whether the torrent says so or not. A Digest proves a piece by
// whatever sides there are. Piece layers, which prove the pieces of the v2 side,
// are not in the info dictionary: they come with a torrent file or, by Layers, from
// peers. A hybrid can do without.
package metainfo
