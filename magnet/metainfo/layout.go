package metainfo

import (
	"bytes"
	"fmt"
	"slices"
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
	if i.Name, err = sys.component("name", name); err != nil {
		return err
	}
	if i.Name == "" {
		// As libtorrent does; the name is only advisory (BEP 3).
		i.Name = i.Hash.String()
	}
	if f.files != nil {
		i.multi = true
		return i.readFiles(f.files, sys)
	}
	if f.length == nil {
		return &Error{Reason: "has neither length nor files"}
	}
	n, err := integer("length", f.length)
	if err != nil {
		return err
	}
	file := File{Path: []string{i.Name}}
	if i.Name != name {
		file.Literal = sys.literal([]string{name})
	}
	return i.add(file, n, "length")
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
		if err := i.readFile(v, sys); err != nil {
			return err
		}
	}
	return resolveClashes(i.Files, sys)
}

func (i *Info) readFile(v bencode.Value, sys system) error {
	field := func(s string) string { return "files[" + strconv.Itoa(len(i.Files)) + "]" + s }
	if v.Kind() != bencode.Dict {
		return &Error{Field: field(""), Reason: "is not a dictionary"}
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
			return &Error{Field: field("." + string(key)), Reason: "is there twice"}
		}
		*slot = val
	}
	if validPath(pathUTF8) {
		path = pathUTF8
	}
	var file File
	raw, err := i.readPath(&file, path, field, sys)
	if err != nil {
		return err
	}
	attrs, _ := attr.Bytes()
	if bytes.IndexByte(attrs, 'l') >= 0 || symlink != nil {
		return &Error{Field: field(""), Part: joined(raw), Reason: "is a symbolic link (BEP 47), which is not supported yet"}
	}
	n, err := integer(field(".length"), length)
	if err != nil {
		return err
	}
	file.Executable = bytes.IndexByte(attrs, 'x') >= 0
	file.Pad = bytes.IndexByte(attrs, 'p') >= 0 || isPadPath(raw)
	return i.add(file, n, field(".length"))
}

// readPath sets the file's paths and returns the torrent's own.
func (i *Info) readPath(file *File, path bencode.Value, field func(string) string, sys system) ([]string, error) {
	switch {
	case path == nil:
		return nil, &Error{Field: field(".path"), Reason: "is missing"}
	case path.Kind() != bencode.List:
		return nil, &Error{Field: field(".path"), Reason: "is not a list"}
	}
	depth := path.Len()
	if depth > MaxDepth {
		return nil, &Error{Field: field(".path"), Reason: fmt.Sprintf("is %d directories deep; at most %d are accepted", depth, MaxDepth)}
	}
	raw := make([]string, 0, depth)
	file.Path = make([]string, 0, depth)
	// Neighbours mostly share their directory: share its strings too.
	var prev []string
	if len(i.Files) > 0 {
		prev = i.Files[len(i.Files)-1].Path
	}
	size := 0
	for v := range path.List() {
		b, ok := v.Bytes()
		if !ok {
			return nil, &Error{Field: field(".path"), Reason: "has a component that is not a string"}
		}
		var s string
		if k := len(raw); k < len(prev) && string(b) == prev[k] {
			s = prev[k]
		} else {
			s = string(b)
		}
		raw = append(raw, s)
		c, err := sys.component(field(".path"), s)
		if err != nil {
			return nil, err
		}
		if c == "" {
			continue
		}
		file.Path = append(file.Path, c)
		size += len(c) + 1
	}
	switch {
	case len(file.Path) == 0:
		// BEP 3: a zero length list "is an error case".
		return nil, &Error{Field: field(".path"), Reason: "names nothing"}
	case size > MaxPath:
		return nil, &Error{Field: field(".path"), Reason: fmt.Sprintf("has %d bytes; at most %d are accepted", size, MaxPath)}
	}
	if !slices.Equal(file.Path, raw) {
		file.Literal = sys.literal(raw)
	}
	return raw, nil
}

// add appends the file behind those before it.
func (i *Info) add(f File, length int64, field string) error {
	switch {
	case length < 0:
		return &Error{Field: field, Part: strconv.FormatInt(length, 10), Reason: "is negative"}
	case length > maxLength-i.Length:
		return &Error{Field: field, Part: strconv.FormatInt(length, 10), Reason: "is more than any torrent holds"}
	}
	f.Offset, f.Length = i.Length, length
	i.Length += length
	i.Files = append(i.Files, f)
	return nil
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
