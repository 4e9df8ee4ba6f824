package storage

import (
	"io/fs"
	"os"
	"path/filepath"
)

// linkedDisk is a directory that is only read. Symbolic links in it are followed wherever
// they lead: people move data to another disk and leave a link, and git-annex keeps all
// content behind links. Only data with the right hash is shared, so a link cannot
// disclose anything that is not in the torrent.
type linkedDisk struct{ rootDisk }

func openLinkedDisk(dir string, handles *Handles) (Disk, error) {
	d, err := openRootDisk(dir, handles)
	return linkedDisk{d}, err
}

func (d linkedDisk) Open(name string, flag int, perm fs.FileMode) (File, error) {
	if flag != os.O_RDONLY {
		return nil, errReadOnly
	}
	var out File
	err := d.handles.retry(func() error {
		f, err := os.Open(filepath.Join(d.dir, name))
		if err == nil {
			out = osFile{f, false}
		}
		return err
	})
	return out, err
}

func (d linkedDisk) Lstat(name string) (fs.FileInfo, error) {
	return os.Lstat(filepath.Join(d.dir, name))
}

func (d linkedDisk) Stat(name string) (fs.FileInfo, error) {
	return os.Stat(filepath.Join(d.dir, name))
}

func (d linkedDisk) Names(dir string) ([]string, error) {
	f, err := os.Open(filepath.Join(d.dir, dir))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return f.Readdirnames(-1)
}

// SyncDir does nothing, because no name is ever created.
func (d linkedDisk) SyncDir(string) error { return nil }
