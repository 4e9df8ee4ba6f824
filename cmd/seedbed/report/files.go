package report

import (
	"fmt"

	objects "seedbed/node/view"
)

// FileLine formats a file as show lists it.
func FileLine(f *objects.File) string {
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
