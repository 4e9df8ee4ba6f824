// Package sealedfs keeps the encrypted copies of files that private publications consist of
// (package sealed): Update makes the copy of a folder, from which a torrent is made, and Tree
// reads the files of such a torrent.
//
// The torrent is a folder of blobs without folders in it: one for each file that is not empty,
// and one with the manifest. The manifest is the v2 info dictionary of the files. The author
// of the torrent may be hostile: package metainfo checks names and sizes, and a blob that is
// missing, or whose size does not fit its file, is an error.
//
// Sizes are in bytes. Files are written under a temporary name and renamed, so that a file with
// its name is complete.
package sealedfs

import (
	"errors"
	"fmt"
	"io"

	"seedbed/internal/sealed"
	"seedbed/magnet/metainfo"
)

// ErrOtherSecret reports a torrent that was not made with the secret of the link.
var ErrOtherSecret = errors.New("the torrent was not made with the secret of this link: the link is wrong, or the publisher has published something else under its key")

// BlobError reports a torrent whose files do not fit its manifest.
type BlobError struct {
	File   string // the path in the manifest
	Reason string
}

func (e *BlobError) Error() string {
	return fmt.Sprintf("the encrypted copy of %s %s: the publisher has made a wrong torrent", e.File, e.Reason)
}

// Tree is the files that are in the blobs of a torrent. It is read-only.
type Tree struct {
	Info  *metainfo.Info // of the files, as a public torrent would have it, without piece layers
	keys  *sealed.Keys
	blobs []int // for each file of Info, the index of its blob in the torrent; -1 if it has none
}

// Opener opens the file with this index of a torrent.
type Opener func(file int) (io.ReadSeekCloser, error)

// Blobs are the files of a torrent, by name.
type Blobs map[string]Blob

// Blob is a file of a torrent.
type Blob struct {
	File int // its index, for an Opener
	Size int64
}

// BlobsOf returns the files of a torrent that can be blobs: those that are in no folder but the
// torrent's own.
func BlobsOf(torrent *metainfo.Info) Blobs {
	b := Blobs{}
	for i := range torrent.Files {
		if f := &torrent.Files[i]; torrent.IsMulti() && f.IsRegular() && len(f.Path) == 1 {
			b[f.Path[0]] = Blob{i, f.Length}
		}
	}
	return b
}

// Manifest returns the index of the file with the manifest in a torrent. The error is
// ErrOtherSecret.
func Manifest(keys *sealed.Keys, torrent *metainfo.Info) (file int, err error) {
	b, ok := BlobsOf(torrent)[keys.ManifestName()]
	if !ok {
		return 0, ErrOtherSecret
	}
	return b.File, nil
}

// Open reads the manifest of a torrent. The errors are ErrOtherSecret, a *BlobError, a
// *metainfo.Error, those of sealed.Keys.OpenManifest and those of open.
func Open(keys *sealed.Keys, blobs Blobs, open Opener) (*Tree, error) {
	manifest, ok := blobs[keys.ManifestName()]
	if !ok {
		return nil, ErrOtherSecret
	}
	blob, err := open(manifest.File)
	if err != nil {
		return nil, err
	}
	raw, err := keys.OpenManifest(blob, manifest.Size, metainfo.MaxInfo)
	if err = errors.Join(err, blob.Close()); err != nil {
		return nil, err
	}
	info, err := metainfo.ParseInfo(raw)
	if err != nil {
		return nil, fmt.Errorf("the list of files is not valid: %w", err)
	}
	if info.HasV1() || !info.HasV2() {
		return nil, sealed.ErrManifest
	}
	return match(keys, blobs, info)
}

// match finds the blobs of the files of info.
func match(keys *sealed.Keys, blobs Blobs, info *metainfo.Info) (*Tree, error) {
	t := &Tree{Info: info, keys: keys, blobs: make([]int, len(info.Files))}
	for i := range info.Files {
		f := &info.Files[i]
		t.blobs[i] = -1
		if !f.IsRegular() || f.Length == 0 {
			continue
		}
		blob, ok := blobs[keys.BlobName(f.Path)]
		switch {
		case !ok:
			return nil, &BlobError{info.PathOf(i), "is missing"}
		case blob.Size != sealed.BlobSize(f.Length):
			return nil, &BlobError{info.PathOf(i), "has a wrong size"}
		}
		t.blobs[i] = blob.File
	}
	return t, nil
}

// Blob returns the index of the torrent's file with the content of a file; ok is false for
// what has no content.
func (t *Tree) Blob(file int) (blob int, ok bool) {
	return t.blobs[file], t.blobs[file] >= 0
}

// Read returns the content of a file, which is not empty, from its blob. Reads return the
// errors of sealed.Reader.
func (t *Tree) Read(file int, blob io.ReadSeeker) *sealed.Reader {
	return t.keys.Reader(blob, t.Info.Files[file].Length)
}
