package create

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"seedbed/internal/statefile"
	"seedbed/internal/userfile"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/storage"
)

// Treatment says how Make handles a kind of file.
type Treatment uint8

const (
	ByDefault Treatment = iota
	Keep                // include it
	Skip                // skip it
	Refuse              // fail
	Again               // for files that change while they are read: read them again
)

// Rules says how Make handles unusual files. Each case is reported through Options.Warn,
// except for those that make it fail.
type Rules struct {
	Hidden     Treatment // names that begin with a dot: Skip, or Keep
	Links      Treatment // symbolic links: Skip, Keep (as links within the torrent, BEP 47), or Refuse
	Unreadable Treatment // Refuse, or Skip
	Changing   Treatment // files written to meanwhile: Refuse, Skip, or Again
	Names      Treatment // names that other systems do not allow: Keep, Skip, or Refuse
}

func (o *Rules) defaults() {
	for _, t := range []struct {
		what *Treatment
		is   Treatment
	}{{&o.Hidden, Skip}, {&o.Links, Skip}, {&o.Unreadable, Refuse}, {&o.Changing, Refuse}, {&o.Names, Keep}} {
		if *t.what == ByDefault {
			*t.what = t.is
		}
	}
}

// fileList lists the files of the torrent being made, in the order of a file tree.
type fileList struct {
	top    string // the path given by the user
	single bool
	files  []foundFile
}

type foundFile struct {
	metainfo.PlanFile
	name  string // path below top; for a single file its base name
	stamp Stamp
}

// walker lists the files of a folder.
type walker struct {
	o    *Options
	out  *fileList
	root *os.Root
	omit map[string]bool // names that an earlier attempt could not read
}

// walk lists the files at top.
func walk(top string, o *Options, omit map[string]bool) (*fileList, error) {
	fi, err := os.Lstat(top)
	if err != nil {
		return nil, storage.Wrap("read", top, err)
	}
	out := &fileList{top: top}
	switch {
	case fi.Mode()&fs.ModeSymlink != 0:
		// Storage does not read through a link that leads out of the folder, so the data
		// could not be seeded.
		target, err := filepath.EvalSymlinks(top)
		if err != nil {
			target = ""
		}
		return nil, &NotDataError{Path: top, What: symlink, Target: target}
	case fi.Mode().IsRegular():
		out.single = true
		f := metainfo.PlanFile{Length: fi.Size(), Executable: o.executable(fi)}
		out.files = []foundFile{{f, filepath.Base(top), stampOf(fi)}}
		return out, nil
	case !fi.IsDir():
		return nil, &NotDataError{Path: top, What: statefile.Kind(fi.Mode())}
	}
	w := walker{o: o, out: out, omit: omit}
	if w.root, err = os.OpenRoot(top); err != nil {
		return nil, storage.Wrap("read", top, err)
	}
	defer w.root.Close()
	if err := w.dir(".", nil); err != nil {
		return nil, err
	}
	slices.SortFunc(out.files, func(a, b foundFile) int { return slices.Compare(a.Path, b.Path) })
	return out, nil
}

func (o *Options) executable(fi fs.FileInfo) bool {
	return !o.NoAttributes && fi.Mode().Perm()&0o100 != 0
}

func (o *Options) warn(format string, args ...any) {
	if o.Warn != nil {
		o.Warn(fmt.Errorf(format, args...))
	}
}

// dir lists one directory.
func (w *walker) dir(dir string, at []string) error {
	f, err := w.root.Open(dir)
	if err != nil {
		return w.unreadable(dir, err)
	}
	names, err := f.Readdirnames(-1)
	if err = errors.Join(err, f.Close()); err != nil {
		return w.unreadable(dir, err)
	}
	slices.Sort(names)
	for _, name := range names {
		if err := w.entry(filepath.Join(dir, name), name, at); err != nil {
			return err
		}
	}
	return nil
}

func (w *walker) path(name string) string { return filepath.Join(w.out.top, name) }

// unreadable handles a file that cannot be read.
func (w *walker) unreadable(name string, err error) error {
	if w.o.Rules.Unreadable != Skip || name == "." {
		return storage.Wrap("read", w.path(name), err)
	}
	w.o.warn("skipped %s: %w", w.path(name), userfile.Reason(err))
	return nil
}

func (w *walker) entry(below, name string, at []string) error {
	if w.omit[below] {
		return nil
	}
	fi, err := w.root.Lstat(below)
	if err == nil && w.o.Omit != nil && w.o.Omit(fi) {
		return nil
	}
	if name[0] == '.' && w.o.Rules.Hidden == Skip {
		w.o.warn("skipped %s: it is hidden", w.path(below))
		return nil
	}
	if err != nil {
		return w.unreadable(below, err)
	}
	if ok, err := w.name(below, name); !ok {
		return err
	}
	next := append(slices.Clip(at), w.spell(below, name, fi))
	switch {
	case fi.IsDir():
		if len(next) >= metainfo.MaxDepth {
			return storage.Wrap("read", w.path(below), fmt.Errorf("it is more than %d folders deep", metainfo.MaxDepth))
		}
		return w.dir(below, next)
	case fi.Mode().IsRegular():
		if fi.Mode().Perm()&0o444 != 0o444 { // perhaps not readable for us
			f, err := w.root.Open(below)
			if err != nil {
				return w.unreadable(below, err)
			}
			f.Close()
		}
		return w.add(below, metainfo.PlanFile{Path: next, Length: fi.Size(), Executable: w.o.executable(fi)}, fi)
	case fi.Mode()&fs.ModeSymlink != 0:
		return w.link(below, next, fi)
	}
	w.o.warn("skipped %s: it is %s", w.path(below), statefile.Kind(fi.Mode()))
	return nil
}

func (w *walker) add(below string, f metainfo.PlanFile, fi fs.FileInfo) error {
	if len(w.out.files) == metainfo.MaxFiles {
		return storage.Wrap("read", w.out.top, fmt.Errorf("it holds more than %d files", metainfo.MaxFiles))
	}
	w.out.files = append(w.out.files, foundFile{f, below, stampOf(fi)})
	return nil
}

// name handles a name that is not valid on other systems, and reports whether the file is
// included.
func (w *walker) name(below, name string) (ok bool, err error) {
	why := metainfo.NameProblem(name)
	if why == "" {
		return true, nil
	}
	switch action := w.o.Rules.Names; {
	case action == Skip:
		w.o.warn("skipped %s: its name %s", w.path(below), why)
		return false, nil
	case action == Refuse, strings.ToValidUTF8(name, "") != name:
		return false, storage.Wrap("include", w.path(below), fmt.Errorf("its name %s", why))
	}
	w.o.warn("%s: its name %s", w.path(below), why)
	return true, nil
}

// spell returns the name to use in the torrent: with composed accents if this file system
// treats both forms as the same name, as on macOS.
func (w *walker) spell(below, name string, fi fs.FileInfo) string {
	composed := metainfo.Composed(name)
	if composed == name {
		return name
	}
	if same, err := w.root.Lstat(filepath.Join(filepath.Dir(below), composed)); err == nil && os.SameFile(fi, same) {
		return composed
	}
	return name
}

// link handles a symbolic link.
func (w *walker) link(below string, at []string, fi fs.FileInfo) error {
	switch w.o.Rules.Links {
	case Refuse:
		return storage.Wrap("include", w.path(below), errors.New("it is a symbolic link"))
	case Skip:
		w.o.warn("skipped %s: it is a symbolic link", w.path(below))
		return nil
	}
	target, err := w.root.Readlink(below)
	if err != nil {
		return w.unreadable(below, err)
	}
	// BEP 47: the path is that of the target, relative to the torrent's root.
	inside := path.Join(path.Dir(filepath.ToSlash(below)), filepath.ToSlash(target))
	if filepath.IsAbs(target) || !filepath.IsLocal(filepath.FromSlash(inside)) || inside == "." {
		w.o.warn("skipped %s: it is a symbolic link that leads out of the folder", w.path(below))
		return nil
	}
	return w.add(below, metainfo.PlanFile{Path: at, Symlink: strings.Split(inside, "/")}, fi)
}

const symlink = "a symbolic link"
