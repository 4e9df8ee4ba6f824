package follow

import (
	"fmt"
	"os"
	"path"
	"path/filepath"

	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

// A Version is a version on disk that was current once, or is.
type Version struct {
	Seq      int64
	Folder   string // absolute
	InfoHash string
	Name     string
	Size     int64
	Files    int
	Current  bool
}

// Versions returns the versions on disk, newest first. It reads the disk.
func (f *Follower) Versions() []Version {
	f.mu.Lock()
	current := f.folder.file.shown().Folder
	f.mu.Unlock()
	list := []Version{}
	for _, name := range f.dirs.list() {
		torrent := f.folder.torrent(name)
		if torrent == nil {
			continue // it was never complete
		}
		info := f.files(name, torrent)
		list = append(list, Version{Seq: versionSeq(path.Base(name)), Folder: f.dirs.path(name), InfoHash: torrent.Hash.String(), Name: info.Name,
			Size: info.Payload(), Files: info.Stored(), Current: name == current})
	}
	return list
}

// Metadata returns the metadata of a version on disk; for a private publication that is read,
// that of its files.
func (f *Follower) Metadata(seq int64) (*metainfo.Info, error) {
	name, info, err := f.onDisk(seq)
	if err != nil {
		return nil, err
	}
	return f.files(name, info), nil
}

// onDisk returns the folder and the metadata of a version that was complete once.
func (f *Follower) onDisk(seq int64) (name string, info *metainfo.Info, err error) {
	for _, name := range f.dirs.list() {
		if versionSeq(path.Base(name)) != seq {
			continue
		}
		if info := f.folder.torrent(name); info != nil {
			return name, info, nil
		}
	}
	return "", nil, node.NewFault(node.FaultUsage, fmt.Errorf("version %d is not on disk", seq), "choose one of the versions that are listed")
}

// A Past is a version that the newest adopted item names.
type Past struct {
	mutable.Earlier
	Folder string // absolute; "" if the version is not on disk
}

// History returns the newest version that was adopted and those that its item names, the newest first.
// It reads the folder of the versions.
func (f *Followed) History() ([]Past, error) {
	if f.value == nil {
		return nil, nil
	}
	v, err := mutable.Read(f.Config.Link, f.value)
	if err != nil {
		return nil, err
	}
	list := []Past{{Earlier: mutable.Earlier{Seq: f.adopted, InfoHash: v.InfoHash, Time: v.Signed}}}
	for _, e := range v.Earlier {
		list = append(list, Past{Earlier: e})
	}
	for i := range list {
		p := &list[i]
		dir := filepath.Join(f.Config.Dir, filepath.FromSlash(versionName(p.Seq, p.InfoHash.String())))
		if _, err := os.Stat(dir); err == nil {
			p.Folder = dir
		}
	}
	return list, nil
}
