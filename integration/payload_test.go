//go:build linux

package integration

import (
	"bytes"
	"crypto/sha1"
	"encoding/hex"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// payload is data to share, with a torrent made without seedbed.
type payload struct {
	name     string // of the folder or single file
	parent   string // the folder that holds it
	torrent  string // path of the .torrent
	infohash string
	size     int64
	piece    int64
	files    []file
}

type file struct {
	path string // relative to parent, with slashes
	data []byte
}

const piece = 256 << 10

func (p *payload) magnet() string { return "magnet:?xt=urn:btih:" + p.infohash }

// tree returns a folder with difficult shapes: an empty file, files that end inside a
// piece, several files in one piece, and one that crosses a piece boundary.
func tree(t testing.TB, name string, size int) *payload {
	rest := size - 3*piece - 123 - 1 - 77
	return newPayload(t, name, piece, false, map[string]int{
		"a first.bin":          piece + 123,
		"empty":                0,
		"folder/one byte":      1,
		"folder/deep/rest.bin": rest,
		"folder/tiny.txt":      77,
		"zuletzt-ü.bin":        2 * piece,
	})
}

// single returns one file that does not fill its last piece.
func single(t testing.TB, name string, size int) *payload {
	return newPayload(t, name, piece, false, map[string]int{"": size - 5})
}

func newPayload(t testing.TB, name string, piece int, private bool, sizes map[string]int) *payload {
	t.Helper()
	p := &payload{name: name, parent: t.TempDir(), piece: int64(piece)}
	var seed [32]byte
	copy(seed[:], name)
	r := rand.NewChaCha8(seed)
	var all bytes.Buffer
	var list []any
	for _, path := range slices.Sorted(maps.Keys(sizes)) {
		data := make([]byte, sizes[path])
		r.Read(data)
		f := file{path: strings.TrimSuffix(name+"/"+path, "/"), data: data}
		p.files = append(p.files, f)
		all.Write(data)
		p.size += int64(len(data))
		list = append(list, map[string]any{"length": len(data), "path": anys(strings.Split(path, "/"))})
	}
	p.write(t, p.parent)
	var hashes []byte
	for b := range slices.Chunk(all.Bytes(), piece) {
		h := sha1.Sum(b)
		hashes = append(hashes, h[:]...)
	}
	info := map[string]any{"name": name, "piece length": piece, "pieces": string(hashes)}
	if _, one := sizes[""]; one {
		info["length"] = int(p.size)
	} else {
		info["files"] = list
	}
	if private {
		info["private"] = 1
	}
	h := sha1.Sum(bencode(nil, info))
	p.infohash = hex.EncodeToString(h[:])
	p.torrent = filepath.Join(t.TempDir(), name+".torrent")
	must(t, os.WriteFile(p.torrent, bencode(nil, map[string]any{"info": info}), 0o644))
	return p
}

func (p *payload) write(t testing.TB, parent string) {
	t.Helper()
	for _, f := range p.files {
		path := filepath.Join(parent, filepath.FromSlash(f.path))
		must(t, os.MkdirAll(filepath.Dir(path), 0o755))
		must(t, os.WriteFile(path, f.data, 0o644))
	}
}

// as returns what client c makes of the payload: transmission does not create empty
// files.
func (p *payload) as(c client) *payload {
	if _, is := c.(transmission); !is {
		return p
	}
	return p.only(func(f file) bool { return len(f.data) > 0 })
}

// only returns p without the files that keep rejects.
func (p *payload) only(keep func(file) bool) *payload {
	q := *p
	q.files = slices.DeleteFunc(slices.Clone(p.files), func(f file) bool { return !keep(f) })
	return &q
}

// same compares the files in dir with the payload's, byte by byte. If exact is true, no
// other files may exist: no temporary file, no record.
func (p *payload) same(t testing.TB, dir string, exact bool) {
	t.Helper()
	for _, f := range p.files {
		got, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(f.path)))
		if err != nil {
			t.Error(err)
		} else if !bytes.Equal(got, f.data) {
			t.Errorf("%s: %d bytes differ from the original's %d", f.path, len(got), len(f.data))
		}
	}
	if !exact {
		return
	}
	for _, path := range listing(t, dir) {
		if !slices.ContainsFunc(p.files, func(f file) bool { return f.path == path }) {
			t.Errorf("%s was left in the folder", path)
		}
	}
}

// listing returns every file below dir as a relative path with slashes.
func listing(t testing.TB, dir string) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			rel, _ := filepath.Rel(dir, path)
			files = append(files, filepath.ToSlash(rel))
		}
		return err
	})
	must(t, err)
	return files
}

func anys[T any](s []T) (out []any) {
	for _, v := range s {
		out = append(out, v)
	}
	return out
}

func bencode(b []byte, v any) []byte {
	switch v := v.(type) {
	case int:
		return fmt.Appendf(b, "i%de", v)
	case string:
		return append(strconv.AppendInt(b, int64(len(v)), 10), ":"+v...)
	case []any:
		b = append(b, 'l')
		for _, e := range v {
			b = bencode(b, e)
		}
		return append(b, 'e')
	case map[string]any:
		b = append(b, 'd')
		for _, k := range slices.Sorted(maps.Keys(v)) {
			b = bencode(bencode(b, k), v[k])
		}
		return append(b, 'e')
	}
	panic(fmt.Sprintf("bencode: %T", v))
}

func must(t scope, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%v", err)
	}
}
