package node

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"seedbed/internal/id"
	"seedbed/internal/journal"
)

// Earlier versions kept the record of a torrent in its folder: in the file "record", and in "record.new" if
// it was not synced.
const (
	oldRecordName    = "record"
	oldNewRecordName = "record.new"
)

// hasOldRecord reports whether the folder has a record of an earlier version, which no restore has moved into
// the journal yet.
func (t *torrentState) hasOldRecord() bool {
	for _, name := range []string{oldRecordName, oldNewRecordName} {
		if _, err := os.Lstat(t.file(name)); err == nil {
			return true
		}
	}
	return false
}

// adoptFolders moves the records of an earlier version into the journal. It deletes the folders that an
// interrupted add has left, unless the journal is damaged. bad joins the errors about single torrents.
func (n *Node) adoptFolders(ctx context.Context, j *journal.Journal) (bad, err error) {
	entries, err := os.ReadDir(filepath.Join(n.state.path, "torrents"))
	if err != nil {
		return nil, err
	}
	var errs []error
	var old []string
	for _, e := range entries {
		hash, err := id.ParseHex(e.Name())
		if err != nil || !e.IsDir() || j.Has(hash) || ctx.Err() != nil {
			continue
		}
		st := n.state.torrent(hash)
		paths := []string{st.file(oldNewRecordName), st.file(oldRecordName)}
		switch b, err := readOldRecord(paths, hash); {
		case errors.Is(err, fs.ErrNotExist):
			if j.Damage() == nil { // otherwise its record may be what is damaged
				errs = append(errs, st.sweepUnfinished())
			}
		case err != nil:
			errs = append(errs, err)
		default:
			if err := j.Put(hash, b); err != nil {
				return errors.Join(errs...), err
			}
			old = append(old, paths...)
		}
	}
	if len(old) == 0 {
		return errors.Join(errs...), nil
	}
	if err := n.syncRecords(); err != nil {
		return errors.Join(errs...), err
	}
	for _, path := range old {
		_ = os.Remove(path) // the record in the journal counts
	}
	return errors.Join(errs...), nil
}

// readOldRecord returns the first record that is complete. The error is that of the last one:
// fs.ErrNotExist, or a *DamagedError.
func readOldRecord(paths []string, hash id.ID) (_ []byte, err error) {
	for _, path := range paths {
		var b bytes.Buffer
		r, read := new(record), []byte(nil)
		if read, err = ReadRecord(path, r, damagedAdvice); err != nil {
			continue
		}
		if err = r.validate(hash.String()); err == nil {
			err = json.Compact(&b, read)
		}
		if err == nil {
			return b.Bytes(), nil
		}
		err = &DamagedError{path, err, damagedAdvice}
	}
	return nil, err
}
