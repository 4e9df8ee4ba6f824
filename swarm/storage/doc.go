// Package storage keeps the bytes of a torrent in files and remembers which
// pieces are there. Offsets are those of BEP 3: in the torrent, all files laid
// end to end. Nothing it does leaves the download folder (os.Root), whatever
// names or symbolic links are there.
//
// # What is where
//
//	DIR/NAME/a/b.txt                a complete file
//	DIR/NAME/a/b.txt.1f0e9d3c.part  one that is not: the digits begin the infohash
//	RECORD                          the resume record
//	RECORD.parts                    bytes of files that are not wanted
//	RECORD.finish                   what was renamed since the last Flush
//	RECORD.journal                  what was written since the record
//	RECORD.names                    files that have another name than their path; see names.go
//
// A file is made, sparse and of its full size, when the first byte of it comes.
// It takes its final name when all of its pieces are verified, at the next Flush
// or Finish; when a piece of a complete file proves wrong later and is written
// anew, the file first goes back. Empty files are made by Finish. Padding
// (BEP 47) is not stored. The infohash in the name says whose a file is: two
// torrents with the same names in one folder do not meet before the end, and
// after the record was lost the file is found and checked.
//
// Where wanted files share a piece with others, the others' part of it goes to the parts
// file: one slot for each piece that several files share, so that its place
// follows from the torrent alone. Without a record it is DIR/.INFOHASH.parts.
// When the file is wanted later the bytes move.
//
// # Files of others
//
// A file under a final name is part of the torrent if the record says so or if a
// check finds any of its pieces right. It is not if its size is wrong, or if
// pieces that lie in it alone were checked and none is right: then Open, or the
// check, fails with ErrExists and nothing was touched. A file so small that it
// can be judged only with its neighbours is left alone, and compared with ours
// at the end: equal, it is replaced by its equal; else Finish fails with
// ErrExists. With Overwrite none of this is an error, and the old file is
// replaced when the new one is complete.
//
// # Changes by others
//
// For every file storage keeps the size and the time of its own last write. It compares
// them with what the system says before each write, at each sync, when a file is opened,
// before and after the final rename, after a check, and after each read of a complete
// file. If they differ, or if another file has the name, all pieces of the file are doubtful until
// Recheck has hashed them, and so is what is verified in between. Complete reports that all
// that is wanted is verified and undoubted and under its final name.
//
// A write that falls into the microseconds of one of our own writes and leaves the size
// as it was is not seen. On file systems whose times are set by a server, or late, only sizes
// and names are compared.
//
// A file that has a second name (a hard link) is never written into: it is copied
// first, and the other name keeps what it has. Nothing is written through a symbolic link
// that leads out of the folder. With ReadOnly links are followed.
//
// # What survives
//
// MarkVerified makes a piece written: verified, and in the care of the system.
// Flush takes the pieces that are written when it begins, syncs every file that
// has writes, renames what is complete, syncs the directories, and only then
// writes the record, under another name, synced, renamed and its directory synced.
// In that record these pieces are synced and all later ones are written. So a
// record never claims a piece that a power cut can take; pieces that it lists as
// written are doubtful when it is read and are checked then. After a sync that
// failed the system may take for clean what never reached the disk: pieces of
// that file are not claimed before they are written again.
//
// Many files are synced by one call for their file system (syncfs), where the system
// reports its errors: each alone costs the disk a commit. A record is not
// written when the one on the disk says the same. So saving costs in proportion to
// what changed; Options.Steps counts it.
//
// Finish renames at once, before the data is synced, and leaves a note of it: a
// file that lost its content with the power is then known as ours.
//
// Between records the journal lists what is written, pieces and parts of large
// ones, as soon as the system has them. So a process that is killed loses what it
// had in memory and no more. The journal proves nothing: its pieces are doubtful,
// and parts have a checksum, which after a power cut tells what is there.
//
// A record is believed about a file whose size and time are as storage left them; all
// pieces of other files are doubtful. So after a kill in the middle of writing a file
// is hashed. A record that is torn, damaged or about something
// else is ignored (RecordError), and what is there is doubtful.
//
// # Errors
//
// Reads and writes fail with an *Error whose Kind says what to do. The torrent
// then pauses and calls Recheck now and then, which looks whether the trouble is
// over and which pieces are left.
//
// Open files are an LRU that all torrents of a node share (Handles).
package storage
