package follow

import (
	"errors"
	"io"
	"os"
	"path"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
)

// source is a complete earlier version on disk.
type source struct {
	name string // its folder
	info *metainfo.Info
}

// addedBytes returns the number of bytes in the files of info that no version in from has, by
// their merkle roots (BEP 52). A torrent without them adds all of its bytes.
func addedBytes(info *metainfo.Info, from []source) (added int64) {
	known := map[metainfo.Root]bool{{}: true} // an empty file has no root
	for _, s := range from {
		for i := range s.info.Files {
			known[s.info.Files[i].Root] = true
		}
	}
	for i := range info.Files {
		f := &info.Files[i]
		if !f.Pad && (!info.HasV2() || !known[f.Root]) {
			added += f.Length
		}
	}
	return added
}

// reuse fills the folder of a new version with data from earlier versions, and returns the
// number of bytes in linked files. It links a file that is proven to be identical, by its
// merkle root (BEP 52) or by all its pieces. It copies a file that has changed, so that writing
// what differs does not change the old version. The node hashes the files in the folder in any
// case, and keeps the pieces and, with a v2 side, the blocks that are right.
func (v *versions) reuse(name string, info *metainfo.Info, from []source) (reused int64, err error) {
	n := len(info.Files)
	r := reuser{versions: v, name: name, info: info, files: make([]string, n), changed: bitset.New(n)}
	for _, s := range from {
		r.match(s)
	}
	for _, s := range from {
		r.matchChanged(s)
	}
	proven, shared := r.prove()
	var errs []error
	for i := range info.Files {
		if r.files[i] == "" {
			continue
		}
		to := path.Join(name, info.PathOf(i))
		if _, err := v.root.Lstat(to); err == nil {
			continue // an earlier attempt has created it
		}
		err := v.root.MkdirAll(path.Dir(to), 0o755)
		switch {
		case err != nil:
		case proven.Has(i):
			if err = v.root.Link(r.files[i], to); err != nil { // for example on a file system without hard links
				err = v.copy(r.files[i], to, info.Files[i].Length)
			}
			if err == nil {
				reused += info.Files[i].Length
			}
		case shared.Has(i):
			err = v.copy(r.files[i], to, info.Files[i].Length)
		}
		errs = append(errs, err)
	}
	return reused, errors.Join(errs...)
}

type reuser struct {
	*versions
	name    string
	info    *metainfo.Info
	files   []string   // for each file, the path of a file that may be identical, or ""
	changed bitset.Set // files whose match is not identical, but may have pieces in common
}

// match finds files of an earlier version that may be identical to files of the new one.
// Without merkle roots, these are files with the same size and the same path or name.
func (r *reuser) match(s source) {
	type named struct {
		name string
		size int64
	}
	roots := map[metainfo.Root]int{}
	paths, names := map[named]int{}, map[named]int{}
	for i := range s.info.Files {
		f := &s.info.Files[i]
		if !f.IsRegular() || f.Length == 0 {
			continue
		}
		if s.info.HasV2() {
			roots[f.Root] = i
		}
		paths[named{path.Join(f.Path...), f.Length}] = i
		names[named{path.Base(path.Join(f.Path...)), f.Length}] = i
	}
	for i := range r.info.Files {
		f := &r.info.Files[i]
		if !f.IsRegular() || f.Length == 0 || r.files[i] != "" {
			continue
		}
		full := path.Join(f.Path...)
		k, ok := roots[f.Root]
		ok = ok && r.info.HasV2() && s.info.Files[k].Length == f.Length
		if !ok && (!r.info.HasV2() || !s.info.HasV2()) {
			if k, ok = paths[named{full, f.Length}]; !ok {
				k, ok = names[named{path.Base(full), f.Length}]
			}
		}
		if !ok {
			continue
		}
		at := path.Join(s.name, s.info.PathOf(k))
		if fi, err := r.root.Lstat(at); err == nil && fi.Mode().IsRegular() && fi.Size() == f.Length {
			r.files[i] = at
		}
	}
}

// minChanged is the size in bytes from which on a file that has changed is copied. A smaller one
// takes no longer to download than to find out what has changed.
const minChanged = 128 << 10

// matchChanged finds earlier versions of files that have changed: files with the same path
// and another merkle root. With a v2 side each file begins with a piece, so that they have
// the blocks before a change in common, and at the same size those after it too.
func (r *reuser) matchChanged(s source) {
	if !r.info.HasV2() || !s.info.HasV2() {
		return // match looks at paths too
	}
	paths := map[string]int{}
	for i := range s.info.Files {
		if f := &s.info.Files[i]; f.IsRegular() && f.Length >= minChanged {
			paths[path.Join(f.Path...)] = i
		}
	}
	for i := range r.info.Files {
		f := &r.info.Files[i]
		if !f.IsRegular() || f.Length < minChanged || r.files[i] != "" {
			continue
		}
		k, ok := paths[path.Join(f.Path...)]
		if !ok {
			continue
		}
		at := path.Join(s.name, s.info.PathOf(k))
		if fi, err := r.root.Lstat(at); err == nil && fi.Mode().IsRegular() {
			r.files[i] = at
			r.changed.Add(i)
		}
	}
}

// prove returns the matched files that are identical, and those that have at least one
// piece in common. It reads the pieces that are uncertain from the matched files and hashes
// them.
func (r *reuser) prove() (proven, shared bitset.Set) {
	n := len(r.info.Files)
	proven, shared = bitset.New(n), r.changed.Clone()
	for i := range r.files {
		if r.files[i] != "" && !r.changed.Has(i) {
			proven.Add(i) // unless one of its pieces differs
		}
	}
	open := map[int]*os.File{}
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	buf := make([]byte, 128<<10)
	for p := range r.uncertain {
		right := r.hash(p, open, buf)
		for sp := range r.info.PieceSpans(p) {
			switch {
			case r.files[sp.File] == "":
			case right:
				shared.Add(sp.File)
			default:
				proven.Remove(sp.File)
			}
			if f := open[sp.File]; f != nil && sp.Offset+sp.Length == r.info.Files[sp.File].Length {
				f.Close()
				delete(open, sp.File)
			}
		}
	}
	return proven, shared
}

// uncertain yields the pieces to hash: all of them, or none if the torrent has a v2 side, because
// match has compared the merkle roots.
func (r *reuser) uncertain(yield func(p int) bool) {
	if r.info.HasV2() {
		return
	}
	for p := range r.info.NumPieces() {
		if !yield(p) {
			return
		}
	}
}

// hash reports whether piece p, read from the matched files, has the expected hash.
func (r *reuser) hash(p int, open map[int]*os.File, buf []byte) bool {
	h := r.info.NewPieceHash(p)
	for sp := range r.info.PieceSpans(p) {
		if r.info.Files[sp.File].Pad {
			continue
		}
		if r.files[sp.File] == "" {
			return false
		}
		file := open[sp.File]
		if file == nil {
			var err error
			if file, err = r.root.Open(r.files[sp.File]); err != nil {
				return false
			}
			open[sp.File] = file
		}
		for at, n := sp.Offset, sp.Length; n > 0; {
			b := buf[:min(int64(len(buf)), n)]
			if _, err := file.ReadAt(b, at); err != nil {
				return false
			}
			_, _ = h.Write(b)
			at, n = at+int64(len(b)), n-int64(len(b))
		}
	}
	return h.Digest() == r.info.Digest(p)
}

// copy copies a file and makes it length bytes long, as the node takes a file of another
// length for one that does not belong to the torrent. On file systems that support it, the
// copy shares blocks with the original.
func (v *versions) copy(from, to string, length int64) (err error) {
	in, err := v.root.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := v.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, io.LimitReader(in, length))
	return errors.Join(err, out.Truncate(length), out.Close())
}
