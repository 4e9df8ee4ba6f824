package metainfo

import (
	"bytes"
	"fmt"
	"strconv"
	"unicode/utf8"

	"seedbed/internal/bencode"
)

// layOut reads the name and the files and lays these end to end.
func (i *Info) layOut(f *fields, sys system) error {
	name, err := i.name(f)
	if err != nil {
		return err
	}
	var bad string
	if i.Name, bad = sys.component(name); bad != "" {
		return &Error{Field: "name", Part: name, Reason: bad}
	}
	if i.Name == "" {
		// As libtorrent does; the name is only advisory (BEP 3).
		i.Name = i.Hash.String()
	}
	if i.v2 && !i.HasV1() {
		return i.readTree(f.fileTree, sys)
	}
	if err := i.readV1(f, name, sys); err != nil || !i.v2 {
		return err
	}
	return i.matchTree(f.fileTree, name)
}

// readV1 reads the files as BEP 3 has them.
func (i *Info) readV1(f *fields, name string, sys system) error {
	if f.files != nil {
		i.multi = true
		return i.readFiles(f.files, sys)
	}
	if f.length == nil {
		return &Error{Reason: "it has neither length nor files"}
	}
	attrs, _ := f.attr.Bytes()
	if isSymlink(attrs, f.symlink) {
		return &Error{Field: "name", Part: name, Reason: "is a symbolic link and nothing else"}
	}
	file := File{Path: []string{i.Name}, Executable: bytes.IndexByte(attrs, 'x') >= 0}
	file.Literal = sys.literal([]string{name}, file.Path)
	if e := i.add(file, f.length); e != nil {
		e.Field = "length"
		return e
	}
	return nil
}

func (i *Info) name(f *fields) (string, error) {
	if b, ok := f.nameUTF8.Bytes(); ok && len(b) > 0 && utf8.Valid(b) {
		return string(b), nil
	}
	b, ok := f.name.Bytes()
	switch {
	case f.name == nil:
		return "", &Error{Field: "name", Reason: "is missing"}
	case !ok:
		return "", &Error{Field: "name", Reason: "is not a string"}
	}
	return string(b), nil
}

func (i *Info) readFiles(list bencode.Value, sys system) error {
	if list.Kind() != bencode.List {
		return &Error{Field: "files", Reason: "is not a list"}
	}
	n := list.Len()
	switch {
	case n == 0:
		return &Error{Field: "files", Reason: "is empty"}
	case n > MaxFiles:
		return &Error{Field: "files", Reason: fmt.Sprintf("has %d entries; at most %d are accepted", n, MaxFiles)}
	}
	i.Files = make([]File, 0, n)
	for v := range list.List() {
		if e := i.readFile(v, sys); e != nil {
			e.Field = "files[" + strconv.Itoa(len(i.Files)) + "]" + e.Field
			return e
		}
	}
	return resolveClashes(i.Files, sys)
}

// readFile adds a file. The Field of its error is below the file's own.
func (i *Info) readFile(v bencode.Value, sys system) *Error {
	if v.Kind() != bencode.Dict {
		return &Error{Reason: "is not a dictionary"}
	}
	var length, path, pathUTF8, attr, symlink bencode.Value
	for key, val := range v.Dict() {
		var slot *bencode.Value
		switch string(key) {
		case "attr":
			slot = &attr
		case "length":
			slot = &length
		case "path":
			slot = &path
		case "path.utf-8":
			slot = &pathUTF8
		case "symlink path":
			slot = &symlink
		default:
			continue
		}
		if *slot != nil {
			return &Error{Field: "." + string(key), Reason: "is there twice"}
		}
		*slot = val
	}
	if validPath(pathUTF8) {
		path = pathUTF8
	}
	var file File
	if e := i.readPath(&file, path, sys); e != nil {
		return e
	}
	attrs, _ := attr.Bytes()
	if isSymlink(attrs, symlink) {
		if e := file.link(symlink, sys); e != nil {
			return e
		}
	}
	file.Executable = bytes.IndexByte(attrs, 'x') >= 0
	file.Pad = bytes.IndexByte(attrs, 'p') >= 0 || isPadPath(file.Path)
	if file.Symlink != nil && length == nil {
		length = noBytes
	}
	if e := i.add(file, length); e != nil {
		e.Field = ".length"
		return e
	}
	if i.v2 {
		var raw []string
		for c := range path.List() {
			raw = append(raw, text(c))
		}
		i.raw = append(i.raw, joined(raw))
	}
	return nil
}

// readPath sets the file's paths.
func (i *Info) readPath(file *File, path bencode.Value, sys system) *Error {
	bad := func(part, reason string) *Error { return &Error{Field: ".path", Part: part, Reason: reason} }
	switch {
	case path == nil:
		return bad("", "is missing")
	case path.Kind() != bencode.List:
		return bad("", "is not a list")
	}
	depth := path.Len()
	if depth > MaxDepth {
		return bad("", fmt.Sprintf("is %d directories deep; at most %d are accepted", depth, MaxDepth))
	}
	// Neighbours mostly share their directory: share its strings too.
	var prev []string
	if len(i.Files) > 0 {
		prev = i.Files[len(i.Files)-1].Path
	}
	file.Path = make([]string, 0, depth)
	size, same := 0, true
	for v := range path.List() {
		b, ok := v.Bytes()
		if !ok {
			return bad("", "has a component that is not a string")
		}
		if k := len(file.Path); k < len(prev) && string(b) == prev[k] {
			file.Path = append(file.Path, prev[k])
		} else {
			raw := string(b)
			safe, reason := sys.component(raw)
			if reason != "" {
				return bad(raw, reason)
			}
			same = same && safe == raw
			if safe == "" {
				continue
			}
			file.Path = append(file.Path, safe)
		}
		size += len(file.Path[len(file.Path)-1]) + 1
	}
	switch {
	case len(file.Path) == 0:
		// BEP 3: a zero length list "is an error case".
		return bad("", "names nothing")
	case size > MaxPath:
		return bad("", fmt.Sprintf("has %d bytes; at most %d are accepted", size, MaxPath))
	}
	if !same {
		var raw []string
		for v := range path.List() {
			raw = append(raw, text(v))
		}
		file.Literal = sys.literal(raw, file.Path)
	}
	return nil
}

// add appends the file behind those before it.
func (i *Info) add(f File, length bencode.Value) *Error {
	n, bad := integer(length)
	switch {
	case bad != "":
		return &Error{Reason: bad}
	case n < 0:
		return &Error{Part: strconv.FormatInt(n, 10), Reason: "is negative"}
	case n > maxLength-i.Length:
		return &Error{Part: strconv.FormatInt(n, 10), Reason: "is more than any torrent holds"}
	}
	if f.Symlink != nil && n != 0 {
		return &Error{Part: joined(f.Path), Reason: "is a symbolic link with bytes of its own"}
	}
	f.Offset, f.Length = i.Length, n
	i.Length += n
	i.Files = append(i.Files, f)
	return nil
}

// noBytes is the length of a link that has none said.
var noBytes = bencode.Value("i0e")

// link reads what a symbolic link leads to. BEP 47: "a list of path components
// [...] relative to the torrent root"; one that leads out of it is refused.
func (f *File) link(target bencode.Value, sys system) *Error {
	bad := func(part, reason string) *Error { return &Error{Field: ".symlink path", Part: part, Reason: reason} }
	if target.Kind() != bencode.List || target.Len() == 0 || target.Len() > MaxDepth {
		return bad(joined(f.Path), "is a symbolic link that leads nowhere")
	}
	f.Symlink = []string{}
	for v := range target.List() {
		b, ok := v.Bytes()
		if !ok {
			return bad(joined(f.Path), "has a component that is not a string")
		}
		safe, reason := sys.component(string(b))
		if reason != "" {
			return bad(string(b), reason)
		}
		if safe != "" {
			f.Symlink = append(f.Symlink, safe)
		}
	}
	if len(f.Symlink) == 0 {
		return bad(joined(f.Path), "is a symbolic link that leads nowhere")
	}
	return nil
}

func isSymlink(attrs []byte, path bencode.Value) bool {
	return bytes.IndexByte(attrs, 'l') >= 0 || path != nil
}

// validPath reports whether v is a path whose components are all UTF-8.
func validPath(v bencode.Value) bool {
	if v.Kind() != bencode.List || v.Len() == 0 {
		return false
	}
	for c := range v.List() {
		if b, ok := c.Bytes(); !ok || !utf8.Valid(b) {
			return false
		}
	}
	return true
}

// isPadPath recognises the name that BEP 47 gives to padding files,
// ".pad/<number>", for torrents whose maker forgot the attribute.
func isPadPath(path []string) bool {
	if len(path) != 2 || path[0] != ".pad" || path[1] == "" {
		return false
	}
	for _, c := range []byte(path[1]) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return true
}
