package storage

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"

	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
)

// Names is how the files of a torrent are named on the disk. All names are relative to the
// download folder and have slashes. The zero value is not usable.
type Names struct{ l layout }

// Names returns the names of the files. It does not wait for the disk.
func (s *Storage) Names() Names { return Names{*s.shown.Load()} }

// RecordedNames returns the names of the files of a torrent that is not open. It does not look
// at the files.
func RecordedNames(info *metainfo.Info, dir, record string) Names {
	s := &Storage{layout: newLayout(info), dir: dir}
	if abs, err := filepath.Abs(dir); err == nil {
		s.dir = abs
	}
	b, err := statefile.ReadMax(record+namesSuffix, maxNamesFile)
	if err == nil {
		if n, _, ok := s.parseNames(b); ok {
			s.setNames(n)
		}
	}
	return Names{s.layout}
}

// NamesFile describes the file in which RecordedNames reads the names that differ from those of the torrent. It returns nil if
// there is none.
func NamesFile(record string) fs.FileInfo {
	fi, err := os.Lstat(record + namesSuffix)
	if err != nil {
		return nil
	}
	return fi
}

// Path returns the name of file i, or "" for padding.
func (n Names) Path(i int) string {
	if n.l.info.Files[i].Pad {
		return ""
	}
	return filepath.ToSlash(n.l.final(i))
}

// Paths returns the names of all files; see Path.
func (n Names) Paths() []string {
	out := make([]string, len(n.l.info.Files))
	for i := range out {
		out[i] = n.Path(i)
	}
	return out
}

// Has reports whether a file or a folder has a name.
func (n Names) Has(name string) bool {
	for i := range n.l.info.Files {
		if _, ok := below(n.Path(i), name); ok {
			return true
		}
	}
	return false
}

// Root returns the name of the folder that contains all files, or "." if there is none; for a
// torrent of a single file, the name of that file.
func (n Names) Root() string {
	if n.l.info.IsMulti() {
		return n.l.root
	}
	return n.Path(0)
}

// Folder returns the folder that contains all files, with a slash at its end, or "" if there is
// none.
func (n Names) Folder() string {
	if !n.l.info.IsMulti() || n.l.root == "." {
		return ""
	}
	return filepath.ToSlash(n.l.root) + "/"
}

// A NameError says why a name cannot be given.
type NameError struct {
	Name string
	Err  error // ErrNoSuchName, ErrUnsafeName or ErrExists
}

var (
	// ErrNoSuchName is wrapped by a NameError if no file or folder has the old name.
	ErrNoSuchName = errors.New("is not a file or folder of the torrent")
	// ErrUnsafeName is wrapped by a NameError if no file or folder may have the new name.
	ErrUnsafeName = errors.New("is not a name that a file or folder may have")
)

func (e *NameError) Error() string {
	if e.Err == ErrExists {
		return fmt.Sprintf("another file or folder of the torrent is named %s", e.Name)
	}
	return fmt.Sprintf("%q %v", e.Name, e.Err)
}

func (e *NameError) Unwrap() error { return e.Err }

// Rename returns the names after from, which is a file or a folder, is renamed to to. The error is
// a *NameError. It does not say whether the disk has other files with these names.
func (n Names) Rename(from, to string) (Names, error) {
	from, target := path.Clean(from), path.Clean(to)
	if err := n.checkName(to, target); err != nil {
		return n, err
	}
	var old []string // names that change
	isOld := map[string]bool{}
	after := map[int]string{}
	for i := range n.l.info.Files {
		name := n.Path(i)
		if rest, ok := below(name, from); ok && name != "" {
			old = append(old, name)
			isOld[name] = true
			after[i] = target + rest
		}
	}
	if len(old) == 0 {
		return n, &NameError{from, ErrNoSuchName}
	}
	if from == target {
		return n, nil
	}
	if err := n.checkFree(from, target, after); err != nil {
		return n, err
	}
	// While a folder is moved into or out of itself, no file may get a name that another one
	// still has.
	isDir := map[string]bool{}
	for _, name := range old {
		for d := path.Dir(name); d != "." && !isDir[d]; d = path.Dir(d) {
			isDir[d] = true
		}
	}
	for _, name := range after {
		if isOld[name] || isDir[name] {
			return n, &NameError{name, ErrExists}
		}
		for d := path.Dir(name); d != "."; d = path.Dir(d) {
			if isOld[d] {
				return n, &NameError{d, ErrExists}
			}
		}
	}
	changed := n.l
	changed.setNames(n.l.choose(func(i int) string {
		if name, ok := after[i]; ok {
			return filepath.FromSlash(name)
		}
		return n.l.final(i)
	}))
	return Names{changed}, nil
}

// below reports whether name is folder or in it, and returns what follows.
func below(name, folder string) (rest string, ok bool) {
	rest, ok = strings.CutPrefix(name, folder)
	return rest, ok && (rest == "" || rest[0] == '/')
}

// checkName returns an error if no file or folder may have a name.
func (n Names) checkName(name, clean string) error {
	unsafe := &NameError{name, ErrUnsafeName}
	if len(clean) > metainfo.MaxPath || strings.Count(clean, "/") >= metainfo.MaxDepth || strings.TrimSuffix(name, "/") != clean {
		return unsafe
	}
	for part := range strings.SplitSeq(clean, "/") {
		folded := metainfo.FoldName(part)
		// Our own names for incomplete and temporary files.
		isOurs := strings.HasSuffix(folded, n.l.suffix) || strings.HasSuffix(folded, strings.TrimSuffix(n.l.suffix, ".part")+".moving") ||
			strings.HasPrefix(folded, "."+n.l.info.Hash.String())
		if !metainfo.IsSafeName(part) || isOurs || len(part) > n.l.nameLimit {
			return unsafe
		}
	}
	return nil
}

// checkFree returns an error if a file that is not renamed has the new name, or is in a folder
// with that name, or is where that name needs a folder.
func (n Names) checkFree(from, to string, after map[int]string) error {
	for i := range n.l.info.Files {
		if _, changes := after[i]; changes {
			continue
		}
		name := n.Path(i)
		if name == "" {
			continue
		}
		if _, ok := below(name, to); ok {
			return &NameError{to, ErrExists}
		}
		if _, ok := below(to, name); ok && !n.l.info.Files[i].Folder {
			return &NameError{name, ErrExists}
		}
	}
	return nil
}

// choose returns the exceptions that give the files these names.
func (l *layout) choose(name func(i int) string) (n chosenNames) {
	if l.nameLimit != metainfo.MaxName {
		n.limit = l.nameLimit
	}
	if l.info.IsMulti() {
		n.root = l.commonRoot(name)
	}
	as := *l
	as.setNames(n)
	n.files = map[int]string{}
	for i := range l.info.Files {
		if f := &l.info.Files[i]; !f.Pad {
			if is := name(i); is != as.join(f.Path) {
				n.files[i] = is
			}
		}
	}
	if n.root == l.info.Name {
		n.root = ""
	}
	return n
}

// commonRoot returns the folder at the top that contains all files, or ".".
func (l *layout) commonRoot(name func(i int) string) (root string) {
	for i := range l.info.Files {
		if l.info.Files[i].Pad {
			continue
		}
		top, _, isIn := strings.Cut(name(i), string(filepath.Separator))
		if !isIn || root != "" && top != root {
			return "."
		}
		root = top
	}
	return root
}
