package metainfo

import (
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"pgregory.net/rapid"
)

func TestComponents(t *testing.T) {
	long := strings.Repeat("é", 150) // 300 bytes
	for _, c := range []struct{ name, in, unix, windows string }{
		{"a plain name", "a b.txt", "a b.txt", "a b.txt"},
		{"other scripts", "日本語 é́ \u200d.txt", "日本語 é́ \u200d.txt", "日本語 é́ \u200d.txt"},
		{"dots within", "...a..b", "...a..b", "...a..b"},
		{"three dots are a name", "...", "...", "_"},
		{"empty", "", "", ""},
		{"dot", ".", "", ""},
		{"separators", `AC/DC\x`, "AC_DC_x", "AC_DC_x"},
		{"trailing separator", "dir/", "dir_", "dir_"},
		{"single dot within", "a/./b", "a_._b", "a_._b"},
		{"a drive before a name", "C:x", "C_x", "C_x"},
		{"a colon elsewhere", "Vol 2: x", "Vol 2: x", "Vol 2_ x"},
		{"reserved characters", `<a>"b"|c?*`, `<a>"b"|c?*`, "_a__b__c__"},
		{"controls", "a\x00b\nc\x1b[31m\x7f\u0085", "a_b_c_[31m__", "a_b_c_[31m__"},
		{"line separators", "a\u2028b\u2029", "a_b_", "a_b_"},
		{"directional overrides", "a\u202egpj.exe\u2066\u2069", "a_gpj.exe__", "a_gpj.exe__"},
		{"invalid UTF-8", "caf\xe9 \xff\xfe.txt", "caf_ __.txt", "caf_ __.txt"},
		{"a surrogate in UTF-8 is invalid", "\xed\xa0\x80", "___", "___"},
		{"the replacement character is valid", "\uFFFD", "\uFFFD", "\uFFFD"},
		{"a device", "CON", "_CON", "_CON"},
		{"a device in lower case", "com1", "_com1", "_com1"},
		{"a device with a superscript", "LPT²", "_LPT²", "_LPT²"},
		{"a device with an extension", "aux.c", "aux.c", "_aux.c"},
		{"a device with two", "nul.tar.gz", "nul.tar.gz", "_nul.tar.gz"},
		{"a device before a space", "con .txt", "con .txt", "_con .txt"},
		{"a device before dots", "prn..", "prn..", "_prn"},
		{"not a device", "CONSOLE", "CONSOLE", "CONSOLE"},
		{"not a device either", "com10", "com10", "com10"},
		{"trailing dots", "Vol.", "Vol.", "Vol"},
		{"trailing spaces", "a . ", "a . ", "a"},
		{"a space", " ", " ", "_"},
		{"the longest", strings.Repeat("x", 255), strings.Repeat("x", 255), strings.Repeat("x", 255)},
		{"too long", strings.Repeat("x", 300) + ".tar", strings.Repeat("x", 242) + "~hash.tar", strings.Repeat("x", 242) + "~hash.tar"},
		{"too long, cut within a character", "x" + long, "x" + strings.Repeat("é", 122) + "~hash", "x" + strings.Repeat("é", 122) + "~hash"},
		{"too long, of two bytes each", long, strings.Repeat("é", 123) + "~hash", strings.Repeat("é", 123) + "~hash"},
	} {
		for system, want := range map[string]string{"unix": c.unix, "windows": c.windows} {
			got := component(c.in)
			if system == "windows" && got != "" {
				got = dosName(got)
			}
			sum := sha1.Sum([]byte(c.in))
			want = strings.Replace(want, "~hash", "~"+hex.EncodeToString(sum[:4]), 1)
			if got != want {
				t.Errorf("%s (%s): %q, want %q", c.name, system, got, want)
			}
		}
	}
}

func TestPathsThatLeadOutAreConfined(t *testing.T) {
	for in, want := range map[string]string{
		"..": "", "../": "", `..\..`: "", "./.": "", "/": "", `\`: "", "//": "",
		"../x": ".._x", `..\x`: ".._x", "a/..": "a_..", `a\..\b`: "a_.._b", "a/../b": "a_.._b",
		"/etc/passwd": "etc_passwd", `\\host\share`: "host_share", `\\?\C:\x`: "?_C:_x", "//x": "x", "/..x": "..x",
		"C:": "C_", "c:/x": "c__x", `Z:\x`: "Z__x", "/C:": "C_",
	} {
		if got := component(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

// isSafe returns an error if a component is not safe.
func isSafe(s string) error {
	switch {
	case s == "" || s == "." || s == "..":
		return errors.New("no name")
	case len(s) > MaxName:
		return errors.New("too long")
	case !utf8.ValidString(s):
		return errors.New("not UTF-8")
	case strings.ContainsAny(s, "/\\\x00\n\u202e"):
		return errors.New("bad character")
	case len(s) > 1 && s[1] == ':' && isLetter(s[0]):
		return errors.New("drive")
	case slices.Contains([]string{"con", "nul", "aux", "com1"}, strings.ToLower(s)):
		return errors.New("device")
	}
	return nil
}

// isSafeOnWindows returns an error if a component is not safe on Windows.
func isSafeOnWindows(s string) error {
	stem, _, _ := strings.Cut(strings.ToLower(s), ".")
	switch {
	case strings.ContainsAny(s, `<>:"|?*`) || strings.HasSuffix(s, ".") || strings.HasSuffix(s, " "):
		return errors.New("not for Windows")
	case slices.Contains([]string{"con", "nul", "aux", "com1"}, strings.TrimRight(stem, " ")):
		return errors.New("device")
	}
	return isSafe(s)
}

// names draws components that are likely to cause trouble.
func names() *rapid.Generator[string] {
	part := rapid.SampledFrom([]string{"a", "A", "b", ".", "..", "/", "\\", ":", "C:", "con", "NUL", "com1", " ", "\x00", "\xff", "é", "e\u0301", "ß", "ss", "\u202e", "\u200d", "?", ".txt", strings.Repeat("x", 100)})
	return rapid.Map(rapid.SliceOfN(part, 1, 4), func(p []string) string { return strings.Join(p, "") })
}

func TestComponentsAreSafeAndStable(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		in := rapid.OneOf(names(), rapid.String()).Draw(t, "name")
		got := component(in)
		if got == "" {
			return
		}
		if err := isSafe(got); err != nil {
			t.Fatalf("%q gives %q: %v", in, got, err)
		}
		if again := component(got); again != got {
			t.Fatalf("%q gives %q, and that %q", in, got, again)
		}
		dos := dosName(got)
		if err := isSafeOnWindows(dos); err != nil {
			t.Fatalf("%q gives %q on Windows: %v", in, dos, err)
		}
		if again := dosName(dos); again != dos || component(dos) != dos {
			t.Fatalf("%q gives %q on Windows, and that %q and %q", in, dos, again, component(dos))
		}
	})
}

func split(s string) []string { return strings.Split(s, "/") }

func TestClashes(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"none", "a b c/a c/b", "a b c/a c/b"},
		{"the same path", "a.txt a.txt a.txt", "a.txt a.1.txt a.2.txt"},
		{"the new name is taken by a later file", "a.txt a.txt a.1.txt", "a.txt a.2.txt a.1.txt"},
		{"case", "README readme ReadMe", "README readme.1 ReadMe.2"},
		{"case of directories", "Dir/a dir/A", "Dir/a dir/A.1"},
		{"full case folding", "straße STRASSE", "straße STRASSE.1"},
		{"composed and decomposed", "é e\u0301", "é e\u0301.1"},
		{"order of marks", "a\u0323\u0307 a\u0307\u0323", "a\u0323\u0307 a\u0307\u0323.1"},
		{"invisible characters", "ab a\u200cb", "ab a\u200cb.1"},
		{"a file that is a directory of a later one", "a a/b", "a.1 a/b"},
		{"a file that is a directory of an earlier one", "A/b a", "A/b a.1"},
		{"a file that is a directory far above", "x/y/z/w x/Y", "x/y/z/w x/Y.1"},
		{"hidden files have no extension", ".a .A", ".a .A.1"},
	} {
		exact := !slices.Contains([]string{"README readme ReadMe", "Dir/a dir/A", "straße STRASSE", "é e\u0301", "a\u0323\u0307 a\u0307\u0323", "ab a\u200cb", "A/b a", "x/y/z/w x/Y", ".a .A"}, c.in)
		var files []File
		for p := range strings.FieldsSeq(c.in) {
			files = append(files, File{Path: split(p)})
		}
		for _, fold := range []bool{false, true} {
			files := slices.Clone(files)
			resolveClashes(files, NameRules{Fold: fold})
			var got []string
			for k, p := range strings.Fields(c.in) {
				s := joined(files[k].Path)
				got = append(got, s)
				if lit := joined(files[k].Literal()); s != p && lit != p || s == p && lit != "" {
					t.Errorf("%s: literal %q", c.name, lit)
				}
			}
			want := c.want
			if !fold && !exact {
				want = c.in // no clash if the file system distinguishes them
			}
			if s := strings.Join(got, " "); s != want {
				t.Errorf("%s: %s, want %s", c.name, s, want)
			}
		}
	}
}

func TestPaddingFilesMayShareNames(t *testing.T) {
	files := []File{{Path: []string{".pad", "1"}, Pad: true}, {Path: []string{".pad", "1"}, Pad: true}, {Path: []string{".pad"}}}
	if resolveClashes(files, NameRules{Fold: true}); joined(files[1].Path) != ".pad/1" || joined(files[2].Path) != ".pad" {
		t.Error(files)
	}
}

// TestVeryManyClashesAreNumbered would not end if every file tried every number.
func TestVeryManyClashesAreNumbered(t *testing.T) {
	files := make([]File, 300_000)
	for k := range files {
		files[k].Path = []string{"a.b"}
	}
	resolveClashes(files, NameRules{})
	if got := joined(files[len(files)-1].Path); got != "a.299999.b" {
		t.Error(got)
	}
}

// TestPathsNeverClash compares with a naive check of all pairs.
func TestPathsNeverClash(t *testing.T) {
	comp := rapid.SampledFrom([]string{"a", "A", "b", "a.1", "A.1", "é", "e\u0301", "É"})
	rapid.Check(t, func(t *rapid.T) {
		var files []File
		for range rapid.IntRange(1, 8).Draw(t, "files") {
			files = append(files, File{Path: rapid.SliceOfN(comp, 1, 3).Draw(t, "path")})
		}
		before := slices.Clone(files)
		clash := func(fs []File, i, j int) bool {
			a, b := fs[i].Path, fs[j].Path
			if len(a) > len(b) {
				return false
			}
			for k := range a {
				x, y := strings.NewReplacer("e\u0301", "é", "É", "é").Replace(a[k]), strings.NewReplacer("e\u0301", "é", "É", "é").Replace(b[k])
				if !strings.EqualFold(x, y) {
					return false
				}
			}
			return true
		}
		resolveClashes(files, NameRules{Fold: true})
		for i := range files {
			free := true
			for j := range files {
				if i != j && clash(files, i, j) {
					t.Fatalf("%q and %q", files[i].Path, files[j].Path)
				}
				if i != j && (clash(before, i, j) || clash(before, j, i)) {
					free = false
				}
			}
			if free && !slices.Equal(files[i].Path, before[i].Path) {
				t.Fatalf("%q was renamed to %q and clashes with nothing", before[i].Path, files[i].Path)
			}
		}
	})
}

func TestLiteral(t *testing.T) {
	for _, c := range []struct {
		raw, safe, want []string
	}{
		{[]string{"a"}, []string{"a"}, nil},
		{[]string{"", "a", "."}, []string{"a"}, nil},
		{[]string{`a\b`, "c"}, []string{"a_b", "c"}, []string{`a\b`, "c"}},
		{[]string{"a/b"}, []string{"a_b"}, nil},
		{[]string{"..", "b"}, []string{"b"}, nil},
		{[]string{"a\x00"}, []string{"a_"}, nil},
		{[]string{strings.Repeat("x", 256)}, []string{"x"}, nil},
		{[]string{""}, []string{"_"}, nil},
	} {
		f := File{Path: c.safe, Spelled: c.raw}
		if got := f.Literal(); !slices.Equal(got, c.want) || (got == nil) != (c.want == nil) {
			t.Errorf("%q: %q", c.raw, got)
		}
	}
}

func TestErrorsTruncateLongParts(t *testing.T) {
	for n := range 4 {
		s := (&Error{Field: "name", Part: strings.Repeat("x", n) + strings.Repeat("é", 300), Reason: "r"}).Error()
		if len(s) > 150 || strings.Contains(s, `\x`) {
			t.Error(s)
		}
	}
}

func ExampleError() {
	_, err := ParseInfo([]byte("d5:filesld6:lengthi1e4:pathi2eee4:name1:x12:piece lengthi16384e6:pieces20:....................e"))
	fmt.Println(err)
	// Output: torrent: files[0].path: is not a list
}
