package report

import (
	"fmt"
	"strings"

	"seedbed/magnet/metainfo"
)

// File is a file of a torrent in --json.
type File struct {
	Path    string  `json:"path"`
	Size    int64   `json:"size"`
	Spelled *string `json:"spelled,omitempty"` // in the torrent, if the path differs
	Folder  bool    `json:"folder,omitempty"`
	Link    string  `json:"link,omitempty"` // what a symbolic link leads to; ".." is out of the torrent
}

// Files lists the files of info by their paths within the torrent, with
// slashes. Padding (BEP 47) is left out, so that the file with number n is the nth.
func Files(info *metainfo.Info) []File {
	out := make([]File, 0, info.Stored())
	for i := range info.Files {
		if f := &info.Files[i]; !f.Pad {
			file := File{Path: strings.Join(f.Path, "/"), Size: f.Length, Folder: f.Folder, Link: strings.Join(f.Symlink, "/")}
			if f.Spelled != nil {
				spelled := strings.Join(f.Spelled, "/")
				file.Spelled = &spelled
			}
			if f.Symlink != nil && file.Link == "" {
				file.Link = ".."
			}
			out = append(out, file)
		}
	}
	return out
}

// Line returns f as show lists it.
func (f *File) Line() string {
	s := f.Path
	switch {
	case f.Folder:
		s += "/"
	case f.Link == "..":
		s += "  (a symbolic link out of the torrent, never made)"
	case f.Link != "":
		s += " -> " + f.Link
	}
	if f.Spelled != nil {
		s += fmt.Sprintf("  (spelled %q)", *f.Spelled)
	}
	return s
}
