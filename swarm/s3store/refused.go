package s3store

import (
	"fmt"
	"slices"
	"strings"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// RefusedError says why a torrent cannot be downloaded into a store.
type RefusedError struct{ Path, Reason string }

func (e *RefusedError) Error() string {
	return fmt.Sprintf("the torrent has the path %q, %s", e.Path, e.Reason)
}

// Hint returns what a user can do about the error.
func (e *RefusedError) Hint() string { return "download it to a folder, without --store" }

// CheckFiles returns a *RefusedError if a torrent cannot be downloaded to a place in a store: a file is larger than an object can be, its
// object would have too long a name, or a part of its path is the name of seedbed's own folder. With that name, the maker of a torrent
// could put others into the catalogue. Which folder is that of the torrent depends on the prefix and on what is there, so no part of
// any path may have it.
func CheckFiles(info *metainfo.Info, at objectstore.Location) error {
	for i := range info.Files {
		path := info.PathOf(i)
		if slices.Contains(strings.Split(path, "/"), objectstore.OwnFolder) {
			return &RefusedError{path, "and " + objectstore.OwnFolder + " is a folder that seedbed has for itself"}
		}
		if n := len(at.Prefix) + len(path); n > objectstore.MaxName {
			return &RefusedError{abbreviate(path), fmt.Sprintf("whose object would have a name of %d bytes, and at most %d are possible", n, objectstore.MaxName)}
		}
		if f := &info.Files[i]; f.IsRegular() && f.Length > objectstore.MaxObject {
			return &RefusedError{path, fmt.Sprintf("which is %d bytes, and an object has at most %d", f.Length, int64(objectstore.MaxObject))}
		}
	}
	return nil
}

// abbreviate returns the beginning of a path, for messages.
func abbreviate(path string) string {
	const most = 60
	if len(path) <= most {
		return path
	}
	return strings.ToValidUTF8(path[:most], "") + "…"
}
