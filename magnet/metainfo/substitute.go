package metainfo

import (
	"cmp"
	"strings"
)

// NameRules say what a file system does to names that are safe otherwise.
type NameRules struct {
	DOS     bool // it refuses what Windows does: reserved characters, devices, trailing dots and spaces
	ASCII   bool // it refuses other characters than ASCII's
	Fold    bool // it takes names that differ in case or normalisation for one
	MaxName int  // bytes that a component may have; 0 is MaxName
}

// Substitutes returns names that a file system with these rules can hold and tell
// apart: name in place of i.Name, and paths, by index in Files, in place of Path.
// What can stay is left out: name is then empty. The result depends on the torrent
// and the rules alone.
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

// component returns the name that the file system can hold in place of a safe one.
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

// limit is how many bytes a component may have.
func (r NameRules) limit() int { return cmp.Or(r.MaxName, MaxName) }
