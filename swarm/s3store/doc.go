// Package s3store serves a torrent whose files are objects of an object store. It is the sibling of package storage.
//
// An object has the name of its file: NAME for a torrent of one file, NAME/PATH otherwise, below the prefix of the
// store. If there is no such object and the last part of the prefix is NAME, the prefix is the folder of the torrent. So any other
// tool can use the bucket as well.
//
// # Reading
//
// Stores charge for each request and answer slowly, so nothing reads 16 KiB from them. The torrent is divided into
// blocks of whole pieces, of about BlockSize. A block is fetched by one request for each file in it, into the Cache, which
// all torrents of a node share:
//
//	want block ──▶ one fetch a block ──▶ hash of each piece ──▶ file in the cache ──▶ readers
//	               (others wait for it)    (before it is read)
//
// Pieces can be read as soon as their hash is correct, while the rest of the block still comes. When the blocks of a
// torrent are read one after another, the next one is fetched before it is wanted. The number of fetches at a time is
// limited, for the node and for each torrent, so that a torrent whose object comes slowly does not hold up others. Single pieces
// are fetched in place of a block if it has more files than pieces, or if most of what was fetched was not read.
//
// Nothing waits for the store on a loop or with a buffer: see Storage.Fetch.
//
// # What the store does wrong
//
// If the store does not answer, fetches are tried again with growing pauses; cached blocks are served meanwhile. If an
// object is not the one that the torrent was made of, its pieces have wrong hashes or the request is refused (ETag).
// Reading then fails with a *storage.Error of kind Changed, and Recheck returns the pieces without these. An
// object that is put right again is noticed by its ETag, and one of its pieces is read before it is offered.
//
// # The cache
//
//	DIR/lock                       held by the process
//	DIR/1f/INFOHASH/BLOCK.N        a block, all of whose pieces were verified and synced
//	DIR/1f/INFOHASH/BLOCK.N.new    a block that is being fetched or synced
//
// N is another number for each file: a file is never written again, because it may still be open under its name.
// The final name is given after the sync, so it proves after a restart that the block was verified. The
// least recently used blocks are deleted when there is no room.
package s3store
