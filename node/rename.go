package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"seedbed/internal/await"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm/storage"
)

// Naming is how a torrent is named where that differs from its metadata. It is replaced, never
// modified.
type Naming struct {
	// Name is shown instead of the torrent's own name; "" means that.
	Name string `json:"name,omitempty"`
	// Root is the file or folder in Spec.Dir that has the data: "" is that with the torrent's own
	// name, and "." that there is no common folder. The node keeps it up to date.
	Root string `json:"root,omitempty"`
	// Pending are the renames that have yet to be performed, in order.
	Pending []Renaming `json:"pending,omitempty"`
}

// A Renaming renames a file or a folder of a torrent, or what is shown as the torrent's name, or
// both.
type Renaming struct {
	// From and To are paths with slashes below Spec.Dir, as Paths returns them. Both are "" if no file is
	// renamed. To may be in another folder.
	From string `json:"from,omitempty"`
	To   string `json:"to,omitempty"`
	// Name is the name to show once the files are renamed; "" means the present one.
	Name string `json:"name,omitempty"`
}

const (
	maxShownName = 1024 // bytes
	maxRenames   = 256  // pending ones of a torrent
)

// naming returns the names of a Spec.
func (s *Spec) naming() (n Naming) {
	if s.Naming != nil {
		n = *s.Naming
	}
	return n
}

// setNaming replaces the names of a Spec.
func (s *Spec) setNaming(n Naming) {
	if s.Naming = &n; n.Name == "" && n.Root == "" && len(n.Pending) == 0 {
		s.Naming = nil
	}
}

// Validate returns an error if the names are not valid.
func (n *Naming) Validate() error {
	if n == nil {
		return nil
	}
	if err := checkShownName(n.Name); err != nil && n.Name != "" {
		return err
	}
	if len(n.Pending) > maxRenames {
		return errors.New("it has too many renames")
	}
	return nil
}

// checkShownName returns an error if a name cannot be shown.
func checkShownName(name string) error {
	if name == "" || len(name) > maxShownName || !utf8.ValidString(name) || strings.ContainsFunc(name, unicode.IsControl) {
		return &Fault{Kind: FaultUsage, Err: fmt.Errorf("%q cannot be the name of a torrent", cut(name)), hint: "give one line of text"}
	}
	return nil
}

// Rename starts to rename a file, a folder or the torrent itself, while the torrent runs, or before
// it continues. Names on the disk are safe: see metainfo.IsSafeName. Rename returns an error if
// the torrent has no such file, or has another one with the new name. If a file of another program
// or of another torrent is in the way, the names stay as they are, a warning says why, and Settled
// returns the error. Nothing is ever replaced.
func (t *Torrent) Rename(ctx context.Context, r Renaming) error {
	return await.Do(ctx, func() error { return t.renameNow(r) })
}

func (t *Torrent) renameNow(r Renaming) error {
	if r.Name != "" || r.From == "" {
		if err := checkShownName(r.Name); err != nil {
			return err
		}
	}
	if r.From != "" {
		if err := t.checkRename(r); err != nil {
			return err
		}
	}
	return t.changeNow(func(c *control) error {
		if r.From != "" {
			if err := c.spec.refuseObjects("be renamed"); err != nil {
				return err
			}
		}
		n := c.spec.naming()
		if r.From == "" {
			n.Name = r.Name
			c.editSpec(func(s *Spec) { s.setNaming(n) })
			return nil
		}
		var f *Fault
		switch {
		case len(n.Pending) == maxRenames:
			return &Fault{Kind: FaultBusy, Err: errors.New("too many renames are waiting"), hint: "try again later"}
		case c.state.Phase == lifecycle.Missing && errors.As(c.failure, &f) && f.Kind == FaultMissing:
			return f
		}
		n.Pending = append(slices.Clone(n.Pending), r)
		c.editSpec(func(s *Spec) { s.setNaming(n) })
		c.moveErr = nil
		return nil
	}, func(i *lifecycle.Intent) { i.Rename = i.Rename || r.From != "" })
}

// RenameTorrent renames the torrent: its file or folder, and the name that is shown. While the
// metadata is not known, if its files have no common folder, or if they are objects, only the latter.
func (t *Torrent) RenameTorrent(ctx context.Context, name string) error {
	return await.Do(ctx, func() error {
		r := Renaming{Name: name}
		spec := t.spec()
		if names, ok := t.names(); ok && names.Root() != "." && !spec.Objects {
			root := names.Root()
			r.From, r.To = root, path.Join(path.Dir(root), name)
			if !metainfo.IsSafeName(name) {
				return unsafeName(name)
			}
		}
		return t.renameNow(r)
	})
}

func unsafeName(name string) error {
	return &Fault{Kind: FaultUsage, Err: fmt.Errorf("%q cannot be the name of a file or folder", cut(name)),
		hint: "give a name that every system allows: without slashes, control characters and names of devices"}
}

// checkRename checks a rename of files as far as that is possible without looking at them.
func (t *Torrent) checkRename(r Renaming) error {
	names, ok := t.names()
	if !ok {
		return ErrNoMetadata
	}
	_, err := names.Rename(r.From, r.To)
	return asFault(err)
}

// names returns the names of the files after all pending renames. It returns false while the metadata
// is not known. If the torrent does not run, it reads the state directory.
func (t *Torrent) names() (n storage.Names, ok bool) {
	n, ok = t.namesNow()
	if !ok {
		return n, false
	}
	spec := t.spec()
	for _, r := range spec.naming().Pending {
		if after, err := n.Rename(r.From, r.To); err == nil {
			n = after
		}
	}
	return n, true
}

// namesNow returns the names that the files have.
func (t *Torrent) namesNow() (n storage.Names, ok bool) {
	if r := t.run.Load(); r != nil {
		if s := r.storage.Load(); s != nil {
			return s.Names(), true
		}
	}
	info := t.Info()
	if info == nil {
		return n, false
	}
	return storage.RecordedNames(info, t.spec().Dir, t.state.resumePath()), true
}

// Paths returns the path of each of Info.Files below Details.Dir, with slashes; that of padding is
// "". It returns nil while the metadata is not known. If the torrent does not run, it reads the
// state directory.
func (t *Torrent) Paths() []string {
	n, ok := t.namesNow()
	if !ok {
		return nil
	}
	return n.Paths()
}

// Root returns the file or folder in Details.Dir that has the data, or "." if there is no common
// folder. It is "" while that is not known.
func (t *Torrent) Root() string {
	spec := t.spec()
	if root := spec.naming().Root; root != "" {
		return root
	}
	if i := t.info.Load(); i != nil {
		return i.Name
	}
	if sum := t.summary.Load(); sum != nil {
		return sum.name
	}
	if spec.Torrent != nil {
		return spec.Torrent.Info.Name
	}
	return ""
}

// setRoot records where the data is. It does not save the record.
func (t *Torrent) setRoot(info *metainfo.Info, names storage.Names) {
	root := names.Root()
	if root == info.Name {
		root = ""
	}
	c := &t.control
	c.mu.Lock()
	defer c.mu.Unlock()
	if n := c.spec.naming(); n.Root != root {
		n.Root = root
		c.editSpec(func(s *Spec) { s.setNaming(n) })
	}
}

// renameFiles performs the pending renames. If the files are being opened, it stops the swarm first.
func (t *Torrent) renameFiles(ctx context.Context) (isRunning bool) {
	c := &t.control
	for ctx.Err() == nil {
		c.mu.Lock()
		list := c.spec.naming().Pending
		c.mu.Unlock()
		if len(list) == 0 {
			break
		}
		if r := t.run.Load(); r != nil && r.storage.Load() == nil {
			t.stopSwarm()
		}
		err := t.renameOne(ctx, list[0])
		if err != nil && ctx.Err() != nil {
			break // it stays in the record and continues after a restart
		}
		c.mu.Lock()
		n := c.spec.naming()
		if n.Pending = n.Pending[1:]; err == nil && list[0].Name != "" {
			n.Name = list[0].Name
		}
		c.editSpec(func(s *Spec) { s.setNaming(n) })
		c.mu.Unlock()
		if e := t.save(); err == nil {
			err = e
		}
		if err != nil {
			err = fmt.Errorf("cannot rename %s of %s: %w", list[0].From, t.Name(), asFault(err))
			t.emit(Event{Kind: Warning, Err: err})
			c.mu.Lock()
			c.moveErr = err
			c.mu.Unlock()
		}
		t.emit(Event{Kind: Changed})
	}
	t.progress(0, 0)
	return t.run.Load() != nil
}

// renameOne performs a rename.
func (t *Torrent) renameOne(ctx context.Context, r Renaming) error {
	if err := t.checkUnshared(r.From); err != nil {
		return err
	}
	var err error
	if run := t.run.Load(); run != nil {
		err = run.storage.Load().Rename(r.From, r.To)
	} else if err = t.state.open(); err == nil {
		err = t.renameClosed(ctx, r)
	}
	if names, ok := t.namesNow(); ok {
		if errors.Is(err, storage.ErrNoSuchName) && names.Has(r.To) { // it was done before a kill
			err = nil
		}
		if info := t.Info(); info != nil {
			t.setRoot(info, names)
		}
	}
	return err
}

// renameClosed renames files of a torrent that does not run.
func (t *Torrent) renameClosed(ctx context.Context, r Renaming) error {
	spec, info := t.load()
	switch {
	case info == nil:
		return ErrNoMetadata
	case t.lacksData():
		return t.missingFault()
	}
	o := t.storageOptions(&spec, info)
	if _, err := os.Stat(o.Record); err != nil { // also chooses the names for this file system
		err := t.proveFiles(ctx, &spec, info)
		var e *storage.Error
		if err != nil && !(errors.As(err, &e) && e.Kind == storage.Exists) { // the rename may be the way out
			return err
		}
	}
	return storage.RenameFiles(o, r.From, r.To)
}

// checkUnshared returns an error if another torrent has its data in the files to rename. It reads the
// state directory.
func (t *Torrent) checkUnshared(from string) error {
	dir := t.spec().Dir
	top, _, _ := strings.Cut(from, "/")
	mine, ok := t.namesNow()
	if !ok {
		return nil
	}
	var paths map[string]bool
	for _, o := range t.node.running() {
		root, _, _ := strings.Cut(o.Root(), "/")
		if o == t || o.spec().Dir != dir || root != top && root != "." {
			continue
		}
		if paths == nil {
			paths = map[string]bool{}
			for _, p := range mine.Paths() {
				if p == from || strings.HasPrefix(p, from+"/") {
					paths[p] = true
				}
			}
		}
		for _, p := range o.Paths() {
			if paths[p] {
				return &Fault{Kind: FaultBusy, Err: fmt.Errorf("%s is also in the torrent %s", p, o.Name()), hint: "remove that torrent first, or move one of the two to another folder"}
			}
		}
	}
	return nil
}

// FilePaths returns the path of each of Info.Files below the torrent's own folder, with slashes;
// otherwise it is like Paths.
func (t *Torrent) FilePaths() []string {
	n, ok := t.namesNow()
	if !ok {
		return nil
	}
	out := n.Paths()
	for i := range out {
		out[i] = strings.TrimPrefix(out[i], n.Folder())
	}
	return out
}

// RenameFile is Rename for a file or folder by its path below the torrent's own folder, as FilePaths
// returns it. If to has slashes, it is the new path there, and may begin with a slash. Otherwise it
// is the new name in the same folder.
func (t *Torrent) RenameFile(ctx context.Context, from, to string) error {
	return await.Do(ctx, func() error {
		n, ok := t.names()
		switch {
		case !ok:
			return ErrNoMetadata
		case from == "":
			return &Fault{Kind: FaultUsage, Err: errors.New("no file or folder is named"), hint: "the list of the files has their names"}
		}
		r := Renaming{From: n.Folder() + from, To: n.Folder() + strings.TrimPrefix(to, "/")}
		if dir, _ := path.Split(r.From); !strings.Contains(to, "/") {
			r.To = dir + to
		}
		return t.renameNow(r)
	})
}
