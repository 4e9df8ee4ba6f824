package gateway

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
)

// recordName is the file in the folder of the copies that says what is in it.
const recordName = "copies.json"

// saved is what the record has of a copy.
type saved struct {
	Size int64  `json:"size"` // bytes that were fetched
	Used int64  `json:"used"` // when it was last read; Unix seconds
	Of   string `json:"of"`   // target of the publication, in hex
}

// of returns the target of the publication, which is zero in the record of an earlier version of seedbed.
func (s saved) of() id.ID {
	target, _ := id.ParseHex(s.Of)
	return target
}

// loadRecord returns the copies of earlier runs in dir, which is created. Folders that are not in the
// record are deleted: nothing says how much they hold. A damaged record counts as empty.
func loadRecord(dir string) (map[id.ID]saved, error) {
	if err := statefile.MkdirAll(dir); err != nil {
		return nil, err
	}
	found := map[id.ID]saved{}
	b, err := statefile.Read(filepath.Join(dir, recordName))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var byName map[string]saved
	if json.Unmarshal(b, &byName) == nil {
		for name, s := range byName {
			if ih, err := id.ParseHex(name); err == nil && s.Size >= 0 {
				found[ih] = s
			}
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		ih, err := id.ParseHex(e.Name())
		if _, ok := found[ih]; err == nil && !ok {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return nil, err
			}
		}
	}
	return found, nil
}

// save saves the record, if it has changed.
func (c *copies) save(sizes map[id.ID]saved) {
	byName := make(map[string]saved, len(sizes))
	for ih, s := range sizes {
		byName[ih.String()] = s
	}
	b, err := json.Marshal(byName)
	if err != nil {
		panic(err) // it has only numbers
	}
	if bytes.Equal(b, c.last) {
		return
	}
	if err := statefile.Write(filepath.Join(c.dir, recordName), b); err != nil {
		c.log.Warn("the record of the copies cannot be saved", "err", err)
		return
	}
	c.last = b
}
