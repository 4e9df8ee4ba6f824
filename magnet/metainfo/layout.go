package metainfo

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"strconv"
	"unicode/utf8"

	"seedbed/internal/bencode"
)

// layOut parses the name and the files and assigns offsets to these.
func (i *Info) layOut(f *fields) error {
	name, err := i.name(f)
	if err != nil {
		return err
	}
	if i.Name = component(name); i.Name == "" {
		// The same as libtorrent; the name is only advisory (BEP 3).
		i.Name = i.Hash.String()
	}
	if i.Name != name {
		i.SpelledName = name
	}
	if i.v2 && !i.HasV1() {
		err = i.readTree(f.fileTree)
	} else if err = i.readV1(f, name); err == nil && i.v2 {
		err = i.matchTree(f.fileTree, name)
	}
	if err == nil && i.multi {
		resolveClashes(i.Files, NameRules{})
		i.resolveLinks()
	}
	return err
}

// readV1 parses the files as in BEP 3.
func (i *Info) readV1(f *fields, name string) error {
	if f.files != nil {
		i.multi = true
		return i.readFiles(f.files)
	}
	if f.length == nil {
		return &Error{Reason: "it has neither length nor files"}
	}
	attrs, _ := f.attr.Bytes()
	if isSymlink(attrs, f.symlink) {
		return &Error{Field: "name", Part: name, Reason: "is a symbolic link, and the torrent has no other file"}
	}
	file := File{Path: []string{i.Name}, Executable: bytes.IndexByte(attrs, 'x') >= 0}
	if i.SpelledName != "" {
		file.Spelled = []string{name}
	}
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

func (i *Info) readFiles(list bencode.Value) error {
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
		if e := i.readFile(v); e != nil {
			e.Field = "files[" + strconv.Itoa(len(i.Files)) + "]" + e.Field
			return e
		}
	}
	return nil
}

// readFile adds a file. The Field of its error is relative to the file's own.
func (i *Info) readFile(v bencode.Value) *Error {
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
			return &Error{Field: "." + string(key), Reason: "occurs twice"}
		}
		*slot = val
	}
	if validPath(pathUTF8) {
		path = pathUTF8
	}
	attrs, _ := attr.Bytes()
	file := File{Executable: bytes.IndexByte(attrs, 'x') >= 0, Pad: bytes.IndexByte(attrs, 'p') >= 0}
	if isSymlink(attrs, symlink) {
		// Some programs record the length of the target, but no piece contains its bytes.
		file.Symlink, length = linkTarget(symlink), noBytes
	}
	var raw []string
	if !file.Pad {
		var e *Error
		if raw, e = i.readPath(&file, path, length); e != nil {
			return e
		}
		file.Pad = isPadPath(file.Path)
	}
	if file.Pad { // its path, if any, is irrelevant
		n, _ := length.Int()
		file.Path, file.Spelled, file.Symlink = []string{".pad", strconv.FormatInt(n, 10)}, nil, nil
	}
	if e := i.add(file, length); e != nil {
		e.Field = ".length"
		return e
	}
	if i.v2 {
		i.raw = append(i.raw, joined(raw))
	}
	return nil
}

// readPath sets the path of a file. It returns the path as spelled if this is a hybrid,
// whose v2 version must have the same.
func (i *Info) readPath(file *File, path, length bencode.Value) ([]string, *Error) {
	bad := func(reason string) ([]string, *Error) { return nil, &Error{Field: ".path", Reason: reason} }
	switch {
	case path == nil:
		return bad("is missing")
	case path.Kind() != bencode.List:
		return bad("is not a list")
	case path.Len() == 0:
		return bad("is empty") // BEP 3: a zero length list "is an error case".
	}
	// Adjacent files mostly share their directory: share its strings too.
	var prev []string
	if len(i.Files) > 0 {
		prev = i.Files[len(i.Files)-1].Path
	}
	same, last := true, false
	file.Path = make([]string, 0, min(path.Len(), MaxDepth))
	for v := range path.List() {
		b, ok := v.Bytes()
		if !ok {
			return bad("has a component that is not a string")
		}
		last = len(b) == 0
		if k := len(file.Path); k < len(prev) && string(b) == prev[k] {
			file.Path = append(file.Path, prev[k])
			continue
		}
		raw := string(b)
		safe := component(raw)
		same = same && safe == raw
		if safe != "" {
			file.Path = append(file.Path, safe)
		}
	}
	if n, isInt := length.Int(); last && isInt && n == 0 && len(file.Path) > 0 && file.Symlink == nil {
		file.Folder, same = true, true
	}
	same = file.fitPath() && same
	if same && !i.v2 {
		return nil, nil
	}
	var raw []string
	for v := range path.List() {
		raw = append(raw, text(v))
	}
	if !same {
		file.Spelled = raw
	}
	return raw, nil
}

// fitPath replaces a path that is empty, too deep or too long. It reports whether nothing had
// to be changed.
func (f *File) fitPath() bool {
	size := 0
	for _, c := range f.Path {
		size += len(c) + 1
	}
	switch {
	case len(f.Path) == 0:
		f.Path = []string{"_"}
	case len(f.Path) > MaxDepth, size > MaxPath:
		// Files of one directory stay together.
		dirs, base := f.Path[:len(f.Path)-1], f.Path[len(f.Path)-1]
		sum := sha1.Sum([]byte(joined(dirs)))
		f.Path = []string{"~" + hex.EncodeToString(sum[:8]), base}
	default:
		return true
	}
	return false
}

// add appends the file after the previous ones.
func (i *Info) add(f File, length bencode.Value) *Error {
	n, bad := integer(length)
	switch {
	case bad != "":
		return &Error{Reason: bad}
	case n < 0:
		return &Error{Part: strconv.FormatInt(n, 10), Reason: "is negative"}
	case n > maxLength-i.Length:
		return &Error{Part: strconv.FormatInt(n, 10), Reason: "is larger than any torrent"}
	}
	f.Offset, f.Length = i.Length, n
	i.Length += n
	i.Files = append(i.Files, f)
	return nil
}

// noBytes is the length of a link.
var noBytes = bencode.Value("i0e")

func isSymlink(attrs []byte, path bencode.Value) bool {
	return bytes.IndexByte(attrs, 'l') >= 0 || path != nil
}

// validPath reports whether v is a path whose components are all valid UTF-8.
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

// isPadPath recognises BEP 47's name for padding files, ".pad/<number>", for torrents
// without the attribute.
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
