package follow

import (
	"errors"
	"io"
	"os"
	"path"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
)

// source is a complete version on the disk.
type source struct {
	name string // its folder
	info *metainfo.Info
}

// reuse fills the folder of a new version with the data that earlier versions have, and
// returns the number of bytes in linked files. It links a file that is proven to be
// identical, by its merkle root (BEP 52) or by all its pieces. It copies a file that has
// some pieces in common, so that writing the others does not change the old version. The
// node does not trust the result: it hashes the files in the folder.
func (v *versions) reuse(name string, info *metainfo.Info, from []source) (reused int64, err error) {
	r := reuser{versions: v, name: name, info: info, files: make([]string, len(info.Files))}
	for _, s := range from {
		r.match(s)
	}
	proven, touched := r.prove()
	var errs []error
	for i := range info.Files {
		if r.files[i] == "" {
			continue
		}
		to := path.Join(name, filePath(info, &info.Files[i]))
		if _, err := v.root.Lstat(to); err == nil {
			continue // an earlier attempt made it
		}
		err := v.root.MkdirAll(path.Dir(to), 0o755)
		switch {
		case err != nil:
		case proven.Has(i):
			if err = v.root.Link(r.files[i], to); err != nil { // no hard links, or another file system
				err = v.copy(r.files[i], to)
			}
			if err == nil {
				reused += info.Files[i].Length
			}
		case touched.Has(i):
			err = v.copy(r.files[i], to)
		}
		errs = append(errs, err)
	}
	return reused, errors.Join(errs...)
}

type reuser struct {
	*versions
	name  string
	info  *metainfo.Info
	files []string // for each file the path of a possibly identical one, or ""
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
		at := path.Join(s.name, filePath(s.info, &s.info.Files[k]))
		if fi, err := r.root.Lstat(at); err == nil && fi.Mode().IsRegular() && fi.Size() == f.Length {
			r.files[i] = at
		}
	}
}

// prove returns which of the matched files are identical, and which have at least one piece
// in common. With a v2 side, equal roots prove it; otherwise the pieces are hashed as they
// would be with the matched files.
func (r *reuser) prove() (proven, touched bitset.Set) {
	n := len(r.info.Files)
	proven, touched = bitset.New(n), bitset.New(n)
	for i := range r.files {
		if r.files[i] != "" {
			proven.Add(i) // unless a piece proves otherwise
		}
	}
	if r.info.HasV2() {
		return proven, touched
	}
	open := map[int]*os.File{}
	defer func() {
		for _, f := range open {
			f.Close()
		}
	}()
	buf := make([]byte, 128<<10)
	for p := range r.info.NumPieces() {
		right := r.hash(p, open, buf)
		for sp := range r.info.PieceSpans(p) {
			switch {
			case r.files[sp.File] == "":
			case right:
				touched.Add(sp.File)
			default:
				proven.Remove(sp.File)
			}
			if f := open[sp.File]; f != nil && sp.Offset+sp.Length == r.info.Files[sp.File].Length {
				f.Close()
				delete(open, sp.File)
			}
		}
	}
	return proven, touched
}

// hash reports whether piece p, read from the matched files, has the right hash.
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

// copy copies a file. If the file system supports it, the copy shares blocks with the
// original.
func (v *versions) copy(from, to string) (err error) {
	in, err := v.root.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := v.root.OpenFile(to, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	return errors.Join(err, out.Close())
}
