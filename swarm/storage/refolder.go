package storage

import (
	"errors"
	"path/filepath"

	"seedbed/internal/statefile"
)

// SetFolder makes the records of a closed torrent name another folder, to which another program has
// moved the files. o.Dir is the old folder, which SetFolder does not look at. In the new folder, Open
// uses without hashing what the resume record proves, and hashes the rest. If the process ends,
// another call with the same arguments continues.
func SetFolder(o Options, to string) error {
	from, err := filepath.Abs(o.Dir)
	if err != nil {
		return wrap("find", o.Dir, err)
	}
	if to, err = filepath.Abs(to); err != nil {
		return wrap("find", to, err)
	}
	if from == to || o.Record == "" {
		return nil
	}
	if o.OpenDisk == nil {
		o.OpenDisk = func(dir string, create bool) (Disk, error) { return SystemDisk(dir, create, o.Handles) }
	}
	s := &Storage{layout: newLayout(o.Info), o: o, dir: from, handles: o.Handles}
	if s.state, err = o.OpenDisk(filepath.Dir(o.Record), true); err != nil {
		return wrap("open", filepath.Dir(o.Record), err)
	}
	names, pending, hasNames, err := s.loadNames()
	if err != nil {
		return err
	}
	rec, err := s.loadRecord("")
	var bad *RecordError // such as: it names the new folder already
	if err != nil && !errors.As(err, &bad) {
		return err
	}
	s.dir = to
	if hasNames { // first, because the files are found by their names
		if err := s.recordNames(names, pending); err != nil {
			return err
		}
		s.stepped()
	}
	if rec == nil {
		return nil
	}
	rec.dir = recordDir(to)
	name := filepath.Base(o.Record)
	err = writeWhole(s.state, name+".new", rec.append(nil), true)
	if err == nil {
		err = s.state.Rename(name+".new", name)
	}
	if err == nil {
		err = s.state.SyncDir(".")
	}
	s.stepped()
	return wrapNil("write", o.Record, err)
}

// HasNoneIn reports whether a torrent has files, but none of them exists in the folder to. o.Dir is the
// folder that the records name.
func HasNoneIn(o Options, to string) bool {
	from, err := filepath.Abs(o.Dir)
	if err != nil {
		return false
	}
	to, err = filepath.Abs(to)
	return err == nil && isMissing(o, from, to, nil)
}

// readRecord reads the resume record, or returns nil if there is none that names the folder dir.
func readRecord(o Options, dir string) *record {
	b, err := statefile.ReadMax(o.Record, int64(recordSize(o.Info, "")+maxRecordDir))
	if err != nil {
		return nil
	}
	r, err := parseRecord(b, o.Info.Hash, o.Info.NumPieces(), len(o.Info.Files))
	if err != nil || r.dir != recordDir(dir) {
		return nil
	}
	return r
}
