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

// CheckFiles returns a *RefusedError if a torrent cannot be downloaded into a store: a file is larger than an object can be, or it
// would be written where seedbed keeps its own objects, so that whoever makes a torrent could put others into the catalogue. Which
// folder is that of the torrent depends on the prefix and on what is there, so no part of any path may have the name.
func CheckFiles(info *metainfo.Info) error {
	for i := range info.Files {
		path := info.PathOf(i)
		if slices.Contains(strings.Split(path, "/"), objectstore.OwnFolder) {
			return &RefusedError{path, "and " + objectstore.OwnFolder + " is a folder that seedbed has for itself"}
		}
		if f := &info.Files[i]; f.IsRegular() && f.Length > objectstore.MaxObject {
			return &RefusedError{path, fmt.Sprintf("which is %d bytes, and an object has at most %d", f.Length, int64(objectstore.MaxObject))}
		}
	}
	return nil
}
