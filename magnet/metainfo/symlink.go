package metainfo

import (
	"slices"
	"strings"

	"seedbed/internal/bencode"
)

// linkTarget returns the target of a symbolic link as spelled in the torrent. It is empty
// but not nil if it is absolute or invalid.
func linkTarget(v bencode.Value) []string {
	target := []string{}
	for c := range v.List() {
		s := text(c)
		if len(target) == 0 && (s == "" || isSeparator(rune(s[0])) || len(s) > 1 && s[1] == ':' && isLetter(s[0])) || len(target) > MaxDepth {
			return []string{}
		}
		target = append(target, strings.Split(s, "/")...) // some programs write a path in one piece
	}
	return target
}

// resolveLinks converts the targets of links to paths within the torrent. BEP 47: a
// target is "a list of path components [...] relative to the torrent root", but
// libtorrent has written targets relative to the link for years. A target that exists by
// the BEP's rule is used, otherwise one that exists relative to the link.
func (i *Info) resolveLinks() {
	if !slices.ContainsFunc(i.Files, func(f File) bool { return f.Symlink != nil }) {
		return
	}
	known := map[string]bool{}
	for k := range i.Files {
		if i.Files[k].Pad {
			continue
		}
		for path := i.Files[k].Path; len(path) > 0 && !known[joined(path)]; path = path[:len(path)-1] {
			known[joined(path)] = true
		}
	}
	for k := range i.Files {
		f := &i.Files[k]
		if f.Symlink == nil {
			continue
		}
		byRoot := resolve(nil, f.Symlink)
		byLink := resolve(f.Path[:len(f.Path)-1], f.Symlink)
		switch {
		case byRoot != nil && known[joined(byRoot)]:
			f.Symlink = byRoot
		case byLink != nil && known[joined(byLink)]:
			f.Symlink = byLink
		case byRoot != nil:
			f.Symlink = byRoot
		case byLink != nil:
			f.Symlink = byLink
		default:
			f.Symlink = []string{}
		}
	}
}

// resolve follows target from a directory of the torrent. It returns nil if it leads out,
// to the torrent's own directory, or nowhere.
func resolve(dir, target []string) []string {
	if len(target) == 0 {
		return nil
	}
	at := slices.Clone(dir)
	for _, c := range target {
		if c == ".." {
			if len(at) == 0 {
				return nil
			}
			at = at[:len(at)-1]
		} else if safe := component(c); safe != "" {
			at = append(at, safe)
		}
	}
	if len(at) == 0 || len(at) > MaxDepth {
		return nil
	}
	return at
}
