package metainfo

import (
	"cmp"
	"strings"
)

// NameRules describes how a file system restricts otherwise safe names.
type NameRules struct {
	DOS     bool // rejects what Windows does: reserved characters, devices, trailing dots and spaces
	ASCII   bool // rejects non-ASCII characters
	Fold    bool // treats names that differ in case or normalisation as equal
	MaxName int  // maximal length of a component in bytes; 0 means MaxName
}

// Substitutes returns names that a file system with these rules can hold and distinguish:
// name replaces i.Name, and paths, by index in Files, replace Path. Unchanged names are
// omitted (name is empty). The result depends only on the torrent and the rules.
func (i *Info) Substitutes(r NameRules) (name string, paths map[int][]string) {
	if n := r.component(i.Name); n != i.Name {
		name = n
	}
	files := make([]File, len(i.Files))
	changed := false
	for k := range i.Files {
		f := &i.Files[k]
		files[k] = File{Path: f.Path, Pad: f.Pad, Folder: f.Folder}
		if f.Pad {
			continue
		}
		for at, c := range f.Path {
			if s := r.component(c); s != c {
				if &files[k].Path[0] == &f.Path[0] {
					files[k].Path = append([]string(nil), f.Path...)
				}
				files[k].Path[at], changed = s, true
			}
		}
	}
	if !changed && !r.Fold {
		return name, nil
	}
	resolveClashes(files, r)
	paths = map[int][]string{}
	for k := range files {
		for at, c := range files[k].Path {
			if !files[k].Pad && c != i.Files[k].Path[at] {
				paths[k] = files[k].Path
				break
			}
		}
	}
	return name, paths
}

// component returns the name to use on the file system for a safe one.
func (r NameRules) component(s string) string {
	if r.ASCII {
		s = strings.Map(func(c rune) rune {
			if c >= 0x80 {
				return '_'
			}
			return c
		}, s)
	}
	if r.DOS {
		s = dosName(s)
	}
	if limit := r.limit(); len(s) > limit {
		s = shortenTo(s, limit)
	}
	return s
}

// limit returns the maximal length of a component in bytes.
func (r NameRules) limit() int { return cmp.Or(r.MaxName, MaxName) }
