package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"seedbed/internal/statefile"
)

// IsProven reports whether the resume record proves all the data of a torrent that is only
// read: the record claims every piece, and every file is the one that it describes. It opens
// only the record, so it costs a fraction of Open: a restart asks this about each of perhaps
// 100,000 torrents. If it returns false, Open finds out what exists.
func IsProven(o Options) bool {
	if !o.ReadOnly || o.Select != nil || o.Record == "" || o.OpenDisk != nil {
		return false
	}
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return false
	}
	b, err := statefile.ReadMax(o.Record, int64(recordSize(o.Info, "")+maxRecordDir))
	if err != nil {
		return false
	}
	r, err := parseRecord(b, o.Info.Hash, o.Info.NumPieces(), len(o.Info.Files))
	if err != nil || r.dir != recordDir(dir) || r.synced.Count() != o.Info.NumPieces() {
		return false
	}
	if _, err := os.Lstat(o.Record + namesSuffix); !errors.Is(err, fs.ErrNotExist) {
		return false // the files have other names
	}
	l := newLayout(o.Info)
	for i := range o.Info.Files {
		if !o.Info.Files[i].IsRegular() {
			continue
		}
		known := &r.files[i]
		if known.place != inFinal {
			return false
		}
		fi, err := os.Stat(filepath.Join(dir, l.final(i)))
		if err != nil || !fi.Mode().IsRegular() || fi.Size() != o.Info.Files[i].Length || fi.ModTime().UnixNano() != known.mtime {
			return false
		}
	}
	return true
}
