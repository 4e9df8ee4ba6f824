package node

import (
	"fmt"
	"strings"

	"seedbed/magnet/metainfo"
)

// nameWarnings returns warnings about the names in a torrent: which names were changed to
// be safe, and which symbolic links are not created. withLinks says that safe links are
// created.
func nameWarnings(info *metainfo.Info, withLinks bool) (out []error) {
	renamed, inside, outside := 0, 0, 0
	var first *metainfo.File
	for i := range info.Files {
		f := &info.Files[i]
		switch {
		case f.Symlink != nil && len(f.Symlink) == 0:
			outside++
		case f.Symlink != nil:
			inside++
		}
		if f.Spelled != nil && info.IsMulti() {
			if renamed++; first == nil {
				first = f
			}
		}
	}
	if info.SpelledName != "" {
		out = append(out, &Fault{Err: fmt.Errorf("the name %q is not safe for a file or folder, so it is stored as %q", cut(info.SpelledName), info.Name)})
	}
	if renamed > 0 {
		out = append(out, &Fault{Err: fmt.Errorf("%s of %s stored under safe names: %q as %q%s", count(renamed, "file"), info.Name,
			cut(strings.Join(first.Spelled, "/")), cut(strings.Join(first.Path, "/")), more(renamed)), hint: "seedbed show lists them"})
	}
	if inside > 0 && !withLinks {
		out = append(out, &Fault{Err: fmt.Errorf("%s of %s left out", count(inside, "symbolic link"), info.Name),
			hint: "use --symlinks to create them; they point only to files of the torrent"})
	}
	if outside > 0 {
		out = append(out, &Fault{Err: fmt.Errorf("%s of %s left out, because they point outside the torrent or to nothing", count(outside, "symbolic link"), info.Name)})
	}
	return out
}

// more returns ", and 2 more" for 3 names of which a message shows one, or "".
func more(n int) string {
	if n == 1 {
		return ""
	}
	return fmt.Sprintf(", and %d more", n-1)
}

// cut shortens a name that is too long for a message.
func cut(s string) string {
	const enough = 80
	if r := []rune(s); len(r) > enough {
		return string(r[:enough]) + "…"
	}
	return s
}
