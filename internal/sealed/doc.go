// Package sealed is the format of private publications: their secrets, the sealed value of
// their item in the DHT, and the encrypted files of their torrents. docs/privacy.md specifies
// it, with test vectors.
//
// A Secret comes from a link. The secret to read opens everything; the secret to keep, which
// is derived from it, opens only the value of the item. Keys has the keys of the files. A file
// becomes a blob: blocks of BlockSize bytes, each encrypted and authenticated by itself, so that
// any range can be read and a block that stays the same stays the same in the next version. The
// manifest is the blob with the names and sizes of the files.
//
// Encryption is deterministic (a synthetic IV): the package needs no randomness. It reads and
// writes only through interfaces, and does not check paths: a manifest is the info dictionary of
// the files, which package metainfo parses. Sizes and offsets are in bytes. Errors that mean a
// wrong secret or changed data are a *SecretError, a *BlockError, a *VersionError, ErrValue or
// ErrManifest.
package sealed
