package metainfo

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"math"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"seedbed/internal/bencode"

	"pgregory.net/rapid"
)

// be encodes a value in bencode; raw values are used as they are.
func be(v any) string { return string(appendBe(nil, v)) }

func appendBe(dst []byte, v any) []byte {
	switch v := v.(type) {
	case int:
		return bencode.AppendInt(dst, int64(v))
	case int64:
		return bencode.AppendInt(dst, v)
	case string:
		return bencode.AppendString(dst, v)
	case raw:
		return append(dst, v...)
	case []any:
		return appendAll(append(dst, 'l'), v)
	case dict:
		return appendAll(append(dst, 'd'), v)
	}
	panic(fmt.Sprintf("%T", v))
}

func appendAll(dst []byte, vs []any) []byte {
	for _, v := range vs {
		dst = appendBe(dst, v)
	}
	return append(dst, 'e')
}

type (
	raw  string
	dict []any // key, value, key, value, ...
	list = []any
)

func path(s string) list {
	var l list
	for _, c := range strings.Split(s, "/") {
		l = append(l, c)
	}
	return l
}

func file(length int64, p string) dict { return dict{"length", length, "path", path(p)} }

// hashes returns n piece hashes.
func hashes(n int) string { return strings.Repeat("0123456789abcdefghij", n) }

// multi returns a torrent of these files in one piece.
func multi(files ...any) dict {
	return dict{"files", list(files), "name", "n", "piece length", BlockSize, "pieces", hashes(1)}
}

func TestInfoDictionariesOfTheBEPs(t *testing.T) {
	for _, c := range []struct {
		sentence string
		in       dict
		check    func(*Info) bool
	}{
		{"BEP 3: in the single file case, length is the length of the file in bytes",
			dict{"length", 100, "name", "a.txt", "piece length", BlockSize, "pieces", hashes(1)}, func(i *Info) bool {
				return !i.IsMulti() && i.Name == "a.txt" && i.Length == 100 && len(i.Files) == 1 && joined(i.Files[0].Path) == "a.txt" && i.Files[0].Length == 100
			}},
		{"BEP 3: in the multifile case, it only has files concatenated in the order they appear",
			multi(file(5, "b"), file(7, "a/c")), func(i *Info) bool {
				return i.IsMulti() && i.Length == 12 && i.Files[0].Offset == 0 && i.Files[1].Offset == 5 && joined(i.Files[1].Path) == "a/c"
			}},
		{"BEP 3: all pieces have the same length except possibly the last one, which may be shorter",
			dict{"length", 2*BlockSize + 1, "name", "a", "piece length", BlockSize, "pieces", hashes(3)}, func(i *Info) bool {
				return i.NumPieces() == 3 && i.PieceSize(0) == BlockSize && i.PieceSize(2) == 1 && i.NumBlocks(1) == 1
			}},
		{"a piece length need not be a power of two, nor a whole number of blocks",
			dict{"length", 50_001, "name", "a", "piece length", 50_000, "pieces", hashes(2)}, func(i *Info) bool {
				return i.PieceSize(1) == 1 && i.NumBlocks(0) == 4
			}},
		{"zero-length files lie between others",
			multi(file(0, "a"), file(1, "b"), file(0, "c")), func(i *Info) bool {
				f, e := i.PiecesOf(2)
				return i.Length == 1 && f == e && i.Files[2].Offset == 1
			}},
		{"BEP 27: private=1", append(multi(file(1, "a")), "private", 1), func(i *Info) bool { return i.Private }},
		{"private=0 is public", append(multi(file(1, "a")), "private", 0), func(i *Info) bool { return !i.Private }},
		{"a malformed private counts as private", append(multi(file(1, "a")), "private", "yes"), func(i *Info) bool { return i.Private }},
		{"BEP 47: attr p is a padding file",
			multi(file(1, "a"), dict{"attr", "p", "length", 5, "path", path("x/5")}), func(i *Info) bool { return i.Files[1].Pad && !i.Files[0].Pad }},
		{"BEP 47: the path .pad/<number> marks one too", multi(file(1, "a"), file(5, ".pad/5")), func(i *Info) bool { return i.Files[1].Pad }},
		{"any other name does not", multi(file(1, ".pad/x"), file(5, ".pad/5/6")), func(i *Info) bool { return !i.Files[0].Pad && !i.Files[1].Pad }},
		{"BEP 47: attr x is executable; unknown attributes are ignored",
			multi(dict{"attr", "hxz", "length", 5, "path", path("x")}), func(i *Info) bool { return i.Files[0].Executable && !i.Files[0].Pad }},
		{"BEP 47: a single file has its attr in the info dictionary",
			dict{"attr", "x", "length", 5, "name", "x", "piece length", BlockSize, "pieces", hashes(1)}, func(i *Info) bool { return i.Files[0].Executable }},
		{"name.utf-8 takes precedence over name",
			dict{"length", 5, "name", "\xff", "name.utf-8", "é", "piece length", BlockSize, "pieces", hashes(1)}, func(i *Info) bool { return i.Name == "é" }},
		{"unless it is not UTF-8",
			dict{"length", 5, "name", "n", "name.utf-8", "\xff", "piece length", BlockSize, "pieces", hashes(1)}, func(i *Info) bool { return i.Name == "n" }},
		{"path.utf-8 takes precedence over path",
			multi(dict{"length", 5, "path", path("x"), "path.utf-8", path("y/é")}), func(i *Info) bool { return joined(i.Files[0].Path) == "y/é" }},
		{"unless it is not UTF-8, or not a path",
			multi(dict{"length", 5, "path", path("x"), "path.utf-8", path("\xff")}, dict{"length", 5, "path", path("z"), "path.utf-8", list{}}), func(i *Info) bool {
				return joined(i.Files[0].Path) == "x" && joined(i.Files[1].Path) == "z"
			}},
		{"empty components and dots are dropped", multi(file(5, "/./a//b")), func(i *Info) bool { return joined(i.Files[0].Path) == "a/b" && i.Files[0].Literal() == nil }},
		{"an empty name is replaced with the infohash", dict{"length", 5, "name", "", "piece length", BlockSize, "pieces", hashes(1)}, func(i *Info) bool {
			return i.Name == i.Hash.String() && joined(i.Files[0].Path) == i.Name
		}},
		{"an unsafe name is replaced, and the original is available", multi(dict{"length", 5, "path", list{"d\n", "f"}}), func(i *Info) bool {
			return joined(i.Files[0].Path) == "d_/f" && joined(i.Files[0].Literal()) == "d\n/f"
		}},
		{"duplicates are numbered", multi(file(5, "a.b"), file(5, "a.b")), func(i *Info) bool {
			return joined(i.Files[1].Path) == "a.1.b" && joined(i.Files[1].Literal()) == "a.b"
		}},
		{"names that are equal only on some file systems are kept", multi(file(5, "a.b"), file(5, "A.B")), func(i *Info) bool {
			return joined(i.Files[1].Path) == "A.B" && i.Files[1].Spelled == nil
		}},
		{"files takes precedence over length, as in libtorrent", append(multi(file(5, "a")), "length", 7), func(i *Info) bool { return i.IsMulti() && i.Length == 5 }},
		{"a hybrid is opened as v1",
			dict{"file tree", dict{"n", dict{"", dict{"length", 5, "pieces root", hashes(2)[:32]}}}, "length", 5, "meta version", 2, "name", "n", "piece length", BlockSize, "pieces", hashes(1)},
			func(i *Info) bool { return i.Length == 5 }},
		{"keys out of order are accepted, because the hash covers the bytes", dict{"pieces", hashes(1), "name", "n", "length", 5, "piece length", 16}, func(i *Info) bool { return i.Length == 5 }},
		{"unknown keys are ignored", append(multi(file(5, "a")), "source", list{dict{}}), func(i *Info) bool { return true }},
	} {
		in := []byte(be(c.in))
		i, err := ParseInfo(in)
		if err != nil {
			t.Errorf("%s: %v", c.sentence, err)
			continue
		}
		if !c.check(i) {
			t.Errorf("%s: %+v", c.sentence, i)
		}
		if !bytes.Equal(i.Raw, in) || i.Hash != sha1.Sum(in) {
			t.Errorf("%s: other bytes", c.sentence)
		}
		in[1] = 'X'
		if i.Raw[1] == 'X' {
			t.Error("not a copy")
		}
		if i.PieceHash(0) != [20]byte([]byte(hashes(1))) {
			t.Error("piece hash")
		}
	}
}

func TestInvalidInfoIsRejected(t *testing.T) {
	ok := func() dict {
		return dict{"length", 100, "name", "a", "piece length", BlockSize, "pieces", hashes(1)}
	}
	set := func(key string, v any) raw {
		d := ok()
		for k := 0; k < len(d); k += 2 {
			if d[k] == key {
				d[k+1] = v
				return raw(be(d))
			}
		}
		return raw(be(append(d, key, v)))
	}
	drop := func(key string) raw {
		var out dict
		for d := ok(); len(d) > 0; d = d[2:] {
			if d[0] != key {
				out = append(out, d[0], d[1])
			}
		}
		return raw(be(out))
	}
	m := func(files ...any) raw { return raw(be(multi(files...))) }
	for _, c := range []struct {
		name string
		in   raw
		want string
	}{
		{"nothing", "", "not bencoded"},
		{"not bencode", "x", "not bencoded"},
		{"cut", raw(be(ok())[:50]), "not bencoded"},
		{"trailing bytes", raw(be(ok())) + "x", "1 bytes follow"},
		{"100,000 deep", raw(strings.Repeat("l", 100_000)), "not bencoded"},
		{"deep inside", set("x", raw(strings.Repeat("l", 300)+strings.Repeat("e", 300))), "not bencoded"},
		{"a list", "le", "not a dictionary"},
		{"no name", drop("name"), "name: is missing"},
		{"name of the wrong type", set("name", 5), "name: is not a string"},
		{"name twice", raw(be(append(ok(), "name", "b"))), "name: occurs twice"},
		{"no piece length", drop("piece length"), "piece length: is missing"},
		{"piece length of the wrong type", set("piece length", "1"), "piece length: is not an integer"},
		{"piece length 0", set("piece length", 0), `piece length: "0" is not between 1 and 536870912`},
		{"negative piece length", set("piece length", -BlockSize), `piece length: "-16384" is not between`},
		{"huge piece length", set("piece length", MaxPieceLength+1), "is not between"},
		{"largest integer as piece length", set("piece length", int64(math.MaxInt64)), "is not between"},
		{"integer of too many digits", set("piece length", raw("i99999999999999999999e")), "piece length: is not an integer"},
		{"no pieces", drop("pieces"), "pieces: is missing"},
		{"pieces of the wrong type", set("pieces", list{}), "pieces: is not a string"},
		{"truncated pieces", set("pieces", hashes(1)[:19]), "pieces: has 19 bytes, not a multiple of 20"},
		{"no pieces at all", set("pieces", ""), "pieces: has 0 hashes, but 100 bytes in pieces of 16384 bytes need 1"},
		{"too many pieces", set("pieces", hashes(2)), "pieces: has 2 hashes, but"},
		{"too few pieces", set("length", 3*BlockSize), "pieces: has 1 hashes, but 49152 bytes in pieces of 16384 bytes need 3"},
		{"neither length nor files", drop("length"), "it has neither length nor files"},
		{"length of the wrong type", set("length", "1"), "length: is not an integer"},
		{"negative length", set("length", -1), `length: "-1" is negative`},
		{"huge length", set("length", int64(math.MaxInt64)), "is larger than any torrent"},
		{"no bytes", raw(be(dict{"length", 0, "name", "a", "piece length", BlockSize, "pieces", ""})), "it holds no data"},
		{"symlink as a single file", raw(be(append(ok(), "symlink path", path("x")))), `name: "a" is a symbolic link, and the torrent has no other file`},

		{"files of the wrong type", raw(be(dict{"files", 1, "name", "n", "piece length", 16, "pieces", ""})), "files: is not a list"},
		{"no files", m(), "files: is empty"},
		{"a file of the wrong type", m(file(1, "a"), 5), "files[1]: is not a dictionary"},
		{"a file without length", m(dict{"path", path("a")}), "files[0].length: is missing"},
		{"a file of negative length", m(file(1, "a"), file(-1, "b")), `files[1].length: "-1" is negative`},
		{"sum overflows", m(file(math.MaxInt64, "a"), file(math.MaxInt64, "b")), "is larger than any torrent"},
		{"sum overflows by a little", m(file(maxLength, "a"), file(1, "b")), `files[1].length: "1" is larger than any torrent`},
		{"a length twice", m(append(file(1, "a"), "length", 2)), "files[0].length: occurs twice"},
		{"a file without path", m(dict{"length", 1}), "files[0].path: is missing"},
		{"path of the wrong type", m(dict{"length", 1, "path", "a"}), "files[0].path: is not a list"},
		{"component of the wrong type", m(dict{"length", 1, "path", list{5}}), "has a component that is not a string"},
		{"BEP 3: a zero length list is an error case", m(dict{"length", 1, "path", list{}}), "files[0].path: is empty"},
		{"nothing but padding", m(dict{"attr", "p", "length", 5, "path", path(".pad/5")}), "it holds no data"},
		{"empty v2", raw(be(dict{"file tree", dict{}, "meta version", 2, "name", "n", "piece length", BlockSize})),
			"file tree: is an empty directory"},
	} {
		i, err := ParseInfo([]byte(c.in))
		te := (*Error)(nil)
		if i != nil || !errors.As(err, &te) {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if s := err.Error(); !strings.Contains(s, c.want) || !strings.HasPrefix(s, "torrent: ") || len(s) > 300 {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
}

func TestCapsOnLists(t *testing.T) {
	in := be(dict{"files", raw("l" + strings.Repeat("de", MaxFiles+1) + "e"), "name", "n", "piece length", 16, "pieces", ""})
	if _, err := ParseInfo([]byte(in)); err == nil || !strings.Contains(err.Error(), "files: has 1048577 entries; at most 1048576 are accepted") {
		t.Error(err)
	}
	if _, err := ParseInfo(make([]byte, MaxInfo+1)); err == nil || !strings.Contains(err.Error(), "at most 67108864 are accepted") {
		t.Error(err)
	}
	if _, err := ParseTorrent(make([]byte, MaxTorrent+1)); err == nil || !strings.Contains(err.Error(), "at most 134217728 are accepted") {
		t.Error(err)
	}
}

// TestGeometryAgainstBytes lays out the files of random torrents byte by byte.
func TestGeometryAgainstBytes(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		pieceLength := rapid.IntRange(1, 40).Draw(t, "piece length") * rapid.SampledFrom([]int{1, 1000}).Draw(t, "unit")
		lengths := rapid.SliceOfN(rapid.IntRange(0, 3*pieceLength), 1, 6).Draw(t, "files")
		plan := Plan{Name: "n", PieceLength: int64(pieceLength)}
		var owner []int // of each byte
		for k, n := range lengths {
			plan.Files = append(plan.Files, PlanFile{Path: []string{fmt.Sprint("f", k)}, Length: int64(n)})
			for range n {
				owner = append(owner, k)
			}
		}
		pieces := (len(owner) + pieceLength - 1) / pieceLength
		i, err := Build(plan, make([]byte, pieces*hashLen))
		if len(owner) == 0 {
			if err == nil {
				t.Fatal("no bytes and no error")
			}
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if i.NumPieces() != pieces || i.Length != int64(len(owner)) {
			t.Fatal(i.NumPieces(), i.Length)
		}
		total := int64(0)
		for p := range pieces {
			total += i.PieceSize(p)
			if n := i.NumBlocks(p); int64(n)*BlockSize < i.PieceSize(p) || int64(n-1)*BlockSize >= i.PieceSize(p) {
				t.Fatal("blocks", n, i.PieceSize(p))
			}
		}
		if total != i.Length {
			t.Fatal("pieces add up to", total)
		}
		off, n := rapid.IntRange(0, len(owner)).Draw(t, "offset"), rapid.IntRange(0, len(owner)+1).Draw(t, "bytes")
		var spanned []int
		for s := range i.Spans(int64(off), int64(n)) {
			f := &i.Files[s.File]
			if s.Length < 1 || s.Offset < 0 || s.Offset+s.Length > f.Length || f.Offset+s.Offset != int64(off+len(spanned)) {
				t.Fatalf("%+v of %+v", s, f)
			}
			for range s.Length {
				spanned = append(spanned, s.File)
			}
		}
		if !slices.Equal(spanned, owner[off:min(off+n, len(owner))]) {
			t.Fatalf("[%d, %d) is in %v", off, off+n, spanned)
		}
		var chosen []int
		want := make([]bool, pieces)
		for k := range lengths {
			first, end := i.PiecesOf(k)
			for p := range pieces {
				in := false
				for b := p * pieceLength; b < min((p+1)*pieceLength, len(owner)); b++ {
					in = in || owner[b] == k
				}
				if in != (first <= p && p < end) {
					t.Fatalf("file %d: pieces [%d, %d)", k, first, end)
				}
				if k%2 == 1 && in {
					want[p] = true
				}
			}
			if k%2 == 1 {
				chosen = append(chosen, k)
			}
		}
		if !i.Wanted(nil).Full() {
			t.Fatal("nil is not all")
		}
		if chosen == nil {
			chosen = []int{}
		}
		got := i.Wanted(chosen)
		for p := range pieces {
			if got.Has(p) != want[p] {
				t.Fatal("wanted", p, want[p])
			}
		}
	})
}

// TestAnyNamesAreSafe parses torrents with random names.
func TestAnyNamesAreSafe(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var files list
		for range rapid.IntRange(1, 5).Draw(t, "files") {
			var p list
			for _, c := range rapid.SliceOfN(names(), 1, 3).Draw(t, "path") {
				p = append(p, c)
			}
			files = append(files, dict{"length", 1, "path", p})
		}
		in := []byte(be(dict{"files", files, "name", names().Draw(t, "name"), "piece length", BlockSize, "pieces", hashes(1)}))
		i, err := ParseInfo(in)
		if err != nil {
			t.Fatal(err) // no name is a reason to reject a torrent
		}
		checkInfo(t, i)
	})
}

// checkInfo checks the invariants of an Info.
func checkInfo(t interface{ Fatalf(string, ...any) }, i *Info) {
	if err := isSafe(i.Name); err != nil {
		t.Fatalf("name %q: %v", i.Name, err)
	}
	tr := newTree(0, false)
	at := int64(0)
	for k := range i.Files {
		f := &i.Files[k]
		for _, c := range f.Path {
			if err := isSafe(c); err != nil {
				t.Fatalf("path %q: %v", f.Path, err)
			}
		}
		if len(f.Path) == 0 || f.Offset != at || f.Length < 0 {
			t.Fatalf("file %d: %+v at %d", k, f, at)
		}
		at += f.Length
		switch {
		case f.Pad:
		case f.Folder:
			tr.dir(append(slices.Clone(f.Path), ""))
		default:
			tr.dir(f.Path)
		}
		if !filepath.IsLocal(filepath.Join(f.Path...)) {
			t.Fatalf("path %q is not below the torrent's directory", f.Path)
		}
		if l := f.Literal(); l != nil && !filepath.IsLocal(filepath.Join(l...)) {
			t.Fatalf("literal %q is not below the torrent's directory", l)
		}
		for _, c := range f.Symlink {
			if err := isSafe(c); err != nil {
				t.Fatalf("link to %q: %v", f.Symlink, err)
			}
		}
		for _, c := range f.Literal() {
			if c == "" || c == "." || c == ".." || strings.Contains(c, "/") {
				t.Fatalf("literal %q", f.Literal())
			}
		}
	}
	for k := range i.Files {
		if f := &i.Files[k]; !f.Pad && !f.Folder && !tr.file(f.Path) {
			t.Fatalf("path %q clashes", f.Path)
		}
	}
	for _, r := range []NameRules{{Fold: true}, {DOS: true}, {DOS: true, ASCII: true, Fold: true, MaxName: 143}} {
		checkSubstitutes(t, i, r)
	}
	if at != i.Length || at < 1 || i.PieceLength < 1 || i.PieceSize(0) < 1 {
		t.Fatalf("%d bytes in files of a torrent of %d", at, i.Length)
	}
	if last := i.PieceSize(i.NumPieces() - 1); last < 1 || last > i.PieceLength {
		t.Fatalf("last piece of %d bytes", last)
	}
}

// checkSubstitutes checks that the names for a file system are safe there and differ.
func checkSubstitutes(t interface{ Fatalf(string, ...any) }, i *Info, r NameRules) {
	name, subs := i.Substitutes(r)
	taken := newTree(0, r.Fold)
	path := func(k int) []string {
		if p, ok := subs[k]; ok {
			return p
		}
		return i.Files[k].Path
	}
	safe := func(s string) error {
		if r.DOS {
			return isSafeOnWindows(s)
		}
		return isSafe(s)
	}
	if name != "" && safe(name) != nil {
		t.Fatalf("%+v: name %q", r, name)
	}
	for k := range i.Files {
		if f := &i.Files[k]; f.Folder {
			taken.dir(append(slices.Clone(path(k)), ""))
		} else if !f.Pad {
			taken.dir(path(k))
		}
	}
	for k := range i.Files {
		f := &i.Files[k]
		if f.Pad {
			continue
		}
		for _, c := range path(k) {
			if err := safe(c); err != nil || r.MaxName > 0 && len(c) > r.MaxName {
				t.Fatalf("%+v: path %q: %v", r, path(k), err)
			}
		}
		if !f.Folder && !taken.file(path(k)) {
			t.Fatalf("%+v: path %q is taken", r, path(k))
		}
	}
}

func FuzzParseInfo(f *testing.F) {
	for _, s := range []string{
		be(dict{"length", 100, "name", "a", "piece length", BlockSize, "pieces", hashes(1)}),
		be(multi(file(5, "a/b"), file(0, "C/d"), dict{"attr", "px", "length", 7, "path", path(".pad/7")})),
		be(multi(file(5, "A"), file(6, "a"), file(1, "a/con"), dict{"length", 1, "path", path("\xff"), "path.utf-8", path("é\n/x.")})),
		be(append(multi(file(5, "..")), "private", 1, "meta version", 2)),
		be(multi(dict{"attr", "l", "length", 0, "path", path("s"), "symlink path", path("x")})),
		"d4:name1:xe", "de", "le", strings.Repeat("l", 1000),
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		i, err := ParseInfo(b)
		if err != nil {
			if te := (*Error)(nil); i != nil || !errors.As(err, &te) || len(err.Error()) > 1000 {
				t.Fatal(i, err)
			}
			return
		}
		checkInfo(t, i)
		again, err := ParseInfo(b)
		if err != nil || !reflect.DeepEqual(i, again) {
			t.Fatal("the same bytes gave another torrent", err)
		}
	})
}

func BenchmarkParseInfo(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		files := make(list, n)
		for k := range files {
			files[k] = file(1000, fmt.Sprintf("dir %d/file %d.txt", k/100, k))
		}
		in := []byte(be(dict{"files", files, "name", "n", "piece length", BlockSize, "pieces", hashes((n*1000 + BlockSize - 1) / BlockSize)}))
		b.Run(fmt.Sprint(n, " files"), func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(in)))
			for b.Loop() {
				if _, err := ParseInfo(in); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
