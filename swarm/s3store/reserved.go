package s3store

import (
	"fmt"
	"slices"
	"strings"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// ReservedError is returned by OpenWriter for a torrent that would write where seedbed keeps its own objects: whoever makes a
// torrent could put others into the catalogue.
type ReservedError struct{ Path string }

func (e *ReservedError) Error() string {
	return fmt.Sprintf("the torrent has the path %q, and %s is a folder that seedbed has for itself", e.Path, objectstore.OwnFolder)
}

// Hint returns what a user can do about the error.
func (e *ReservedError) Hint() string { return "download it to a folder, without --store" }

// CheckNames returns a *ReservedError if a torrent cannot be downloaded into a store. Which folder is that of the torrent depends
// on the prefix and on what is there, so no part of any path may have the name.
func CheckNames(info *metainfo.Info) error {
	for i := range info.Files {
		if path := info.PathOf(i); slices.Contains(strings.Split(path, "/"), objectstore.OwnFolder) {
			return &ReservedError{path}
		}
	}
	return nil
}
