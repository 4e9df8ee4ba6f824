// Package storage keeps the bytes of a torrent in files and records which pieces are
// complete. Offsets are those of BEP 3: positions in the torrent, with all files
// concatenated. No operation leaves the download folder (os.Root), whatever names or
// symbolic links it contains.
//
// # Files
//
//	DIR/NAME/a/b.txt                a complete file
//	DIR/NAME/a/b.txt.1f0e9d3c.part  an incomplete file; the digits begin the infohash
//	RECORD                          the resume record
//	RECORD.parts                    bytes of unwanted files
//	RECORD.finish                   files renamed since the last Flush
//	RECORD.journal                  what was written since the record
//	RECORD.removing                 the record lists files that are being deleted
//	RECORD.names                    files whose name differs from their path, and a rename in
//	                                progress; see names.go and rename.go
//
// A file is created, sparse and with its full size, when its first byte arrives. It gets
// its final name when all of its pieces are verified, at the next Flush or Finish. If a
// piece of a complete file later turns out to be wrong and is rewritten, the file first
// gets its incomplete name again. Finish creates empty files. Padding (BEP 47) is not
// stored. The infohash in the name identifies the torrent of an incomplete file: two
// torrents with the same names in one folder do not conflict before they are complete,
// and if the record is lost, the file is still found and checked.
//
// If wanted files share a piece with unwanted ones, the unwanted part goes to the parts
// file. It has one slot for each piece that several files share, so that the position
// depends only on the torrent. Without a record it is DIR/.INFOHASH.parts. When the file
// is wanted later, its bytes are moved.
//
// # Files of other origin
//
// A file under a final name belongs to the torrent if the record says so or if a check
// finds one of its pieces correct. It does not if its size is wrong, or if pieces that
// lie entirely in it were checked and none is correct; then Open or the check fails with
// ErrExists, and nothing has been changed. A file so small that all its pieces are shared
// with neighbors is left alone until the end, and then compared with ours: if they are
// equal, it is replaced; otherwise Finish fails with ErrExists. With Overwrite none of
// this is an error, and the old file is replaced when the new one is complete. A folder with
// the name of a file, or a file with that of a folder, is never replaced: Open fails with
// ErrExists.
//
// # Changes by other programs
//
// Storage records the size and time of its own last write to each file. It compares them
// with those of the file before each write, at each sync, when a file is opened, before
// and after the final rename, after a check, and after each read of a complete file. If
// they differ, or if the name leads to another file, all pieces of the file are doubtful
// until Recheck has hashed them, including those verified in between. Complete reports
// whether everything wanted is verified, not doubtful, and under its final name.
//
// A write by others within the microseconds around one of our own writes that does not
// change the size is not detected. On file systems whose times are set by a server, or
// late, only sizes and names are compared.
//
// A file with several names (hard links) is never written to: it is copied first, and the
// other name keeps its contents. Nothing is written through a symbolic link that leads
// out of the folder. With ReadOnly links are followed.
//
// # Durability
//
// MarkVerified marks a piece as written: it is verified and in the system's cache. Flush
// takes the pieces that are written when it begins, syncs every file with writes, renames
// complete files, syncs the directories, and only then replaces the record: it writes a
// new file, syncs and renames it, and syncs its directory. In that record these pieces
// are synced, and all later ones are written. So a record never claims a piece that a
// power cut can destroy; pieces that it lists as written are doubtful when it is read,
// and are then checked. After a failed sync the system may consider data clean that never
// reached the disk, so the pieces of that file are not claimed until they have been
// rewritten.
//
// Many files are synced by one call for their file system (syncfs), where the system
// reports its errors, because each separate sync costs the disk a commit. A record is not
// written if the one on disk has the same contents. So the cost of saving is proportional
// to what changed; Options.Steps counts it.
//
// Finish renames at once, before the data is synced, and writes a note: if a power cut
// then destroys a file's contents, the file is still recognised as ours.
//
// Between records, the journal lists what is written, pieces and parts of large ones, as
// soon as the system has it. So a killed process loses only what it had in memory. The
// journal proves nothing: its pieces are doubtful, and parts have a checksum, which shows
// after a power cut what has survived.
//
// A record is trusted for files whose size and time are as storage left them; all pieces
// of other files are doubtful. So after a kill during writes, the file is hashed. A
// record that is truncated, damaged or about something else is ignored (RecordError), and
// all existing data is doubtful.
//
// # Errors
//
// Reads and writes fail with an *Error whose Kind says what to do. The torrent then
// pauses and calls Recheck periodically, which determines whether the problem is over and
// which pieces remain.
//
// Open files are kept in an LRU that all torrents of a node share (Handles).
package storage
