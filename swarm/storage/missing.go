package storage

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
)

// IsMissing reports whether nothing is left of the files that the resume record lists: the folder
// was deleted or renamed, or its disk is not mounted or cannot be read. Without a record, data that
// is only read (Options.ReadOnly) is missing if no file of the torrent exists. IsMissing changes
// nothing and stops at the first file that exists. If the folder does not exist, it looks at nothing
// else.
func IsMissing(o Options) bool {
	dir, err := filepath.Abs(o.Dir)
	if err != nil {
		return false
	}
	r := readRecord(o, dir)
	return (r != nil || o.ReadOnly) && isMissing(o, dir, dir, r)
}

// isMissing reports whether none of the files exists in the folder dir that r lists, or none of all
// files if r is nil. The record of names names the folder recorded.
func isMissing(o Options, recorded, dir string, r *record) bool {
	s := &Storage{layout: newLayout(o.Info), o: o, dir: recorded, handles: o.Handles}
	stat := func(name string) error {
		_, err := os.Stat(filepath.Join(dir, name))
		return err
	}
	if o.OpenDisk == nil {
		o.OpenDisk = func(dir string, create bool) (Disk, error) { return SystemDisk(dir, create, o.Handles) }
	} else {
		d, err := o.OpenDisk(dir, false)
		stat = func(name string) error {
			if err == nil {
				_, err := d.Stat(name)
				return err
			}
			return err
		}
	}
	var err error
	if s.state, err = o.OpenDisk(filepath.Dir(o.Record), true); err != nil {
		return false
	}
	names, pending, _, err := s.loadNames()
	if err != nil {
		return false
	}
	s.setNames(names)
	now := []layout{s.layout}
	if pending != nil { // some files may have their new names already
		next := s.layout
		next.setNames(pending.after)
		now = append(now, next)
	}
	isListed := false
	isGone := isUnreachable(stat(".")) || o.Info.IsMulti() && !slices.ContainsFunc(now, func(l layout) bool { return !isUnreachable(stat(l.root)) })
	for i := range o.Info.Files {
		if f := &o.Info.Files[i]; !f.IsRegular() || f.Length == 0 || r != nil && r.files[i].place == absent {
			continue
		}
		if isListed = true; isGone {
			break
		}
		for _, l := range now {
			if !isUnreachable(stat(l.final(i))) || !isUnreachable(stat(l.part(i))) {
				return false
			}
		}
	}
	return isListed
}

// isUnreachable reports whether an error of a stat means that there is no file, or that its disk
// does not answer.
func isUnreachable(err error) bool { return err != nil && !errors.Is(err, fs.ErrPermission) }

// isGone reports whether none of the files exists that are known to exist. The caller holds places.
func (s *Storage) isGone() bool {
	found := false
	for i := range s.info.Files {
		if s.files[i].place == absent || !s.info.Files[i].IsRegular() {
			continue
		}
		if !found && s.info.IsMulti() && s.files[i].other == "" && hasVanished(s.disk, s.root) {
			return true
		}
		found = true
		if d, name := s.where(i); !hasVanished(d, name) {
			return false
		}
	}
	return found
}

func hasVanished(d Disk, name string) bool {
	_, err := d.Stat(name)
	return err != nil && kindOf(err) == Vanished
}

// IsGone reports whether the data was missing as a whole (see IsMissing) when that was last noticed.
// The resume record then stays valid, so that nothing synced is hashed again when the data is back.
func (s *Storage) IsGone() bool { return s.gone.Load() }

// LookIfGone looks whether the data is missing as a whole. Open files do not show that their folder
// was renamed.
func (s *Storage) LookIfGone() bool {
	s.places.RLock()
	defer s.places.RUnlock()
	s.disk.Refresh()
	if !s.closed && s.isGone() {
		s.gone.Store(true)
	}
	return s.gone.Load()
}
