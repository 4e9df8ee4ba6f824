package metainfo

import (
	"slices"
	"strings"
	"testing"
)

// TestUnsafeNamesGetASafeLayout lists paths that other clients open too: paths that lead
// out, are empty, are too long or are missing.
func TestUnsafeNamesGetASafeLayout(t *testing.T) {
	deep := strings.Repeat("d/", MaxDepth) + "a"
	long := strings.Repeat(strings.Repeat("x", 200)+"/", 21) + "a"
	f := func(components ...any) dict { return dict{"length", 1, "path", list(components)} }
	for _, c := range []struct {
		name string
		in   list
		want string // paths, separated by spaces
	}{
		{"an absolute path", list{file(1, "/etc/passwd")}, "etc/passwd"},
		{"an absolute component", list{f("/etc", "passwd")}, "etc/passwd"},
		{"a path that leads out of the torrent", list{file(1, "a"), file(1, "a/../../b")}, "a.1 a/b"},
		{"path.utf-8 that leads out", list{append(file(1, "a"), "path.utf-8", path("../b"))}, "b"},
		{"a component that leads out", list{f(`x\..\..\y`), f("foo/../../../bar", "bar")}, `x_.._.._y foo_.._.._.._bar/bar`},
		{"separators alone", list{f(`\`, "bar"), f("/", "foo")}, "bar foo"},
		{"a drive", list{file(1, "C:/Windows"), f(`C:\Windows`)}, "C_/Windows C__Windows"},
		{"nothing but dots", list{file(1, "././"), file(1, "..")}, "_ _.1"},
		{"an empty name", list{f(""), f("")}, "_ _.1"},
		{"a last component of nothing", list{f("foo", "")}, "foo"},
		{"the directory of another", list{f("foo", "/"), file(1, "foo/bar")}, "foo.1 foo/bar"},
		{"too deep", list{file(1, deep), file(1, strings.TrimSuffix(deep, "a")+"b")}, "~45f191849a00f6bd/a ~45f191849a00f6bd/b"},
		{"too long", list{file(1, long)}, "~1f84d8b3d26d6136/a"},
		{"padding without a path", list{file(1, "a"), dict{"attr", "p", "length", 7}}, "a .pad/7"},
		{"padding with an odd path", list{file(1, "a"), dict{"attr", "p", "length", 7, "path", list{5}}}, "a .pad/7"},
		{"an empty folder", list{file(1, "docs/a.txt"), dict{"length", 0, "path", path("logs/")}, dict{"length", 0, "path", path("docs/")}}, "docs/a.txt logs/ docs/"},
		{"an empty folder where a file is", list{file(1, "docs"), dict{"length", 0, "path", path("docs/")}}, "docs.1 docs/"},
		{"a link with a length, which is ignored", list{file(1, "a"), dict{"attr", "l", "length", 500_000, "path", path("s"), "symlink path", path("a")}}, "a s->a"},
		{"a link without length", list{file(1, "a"), dict{"attr", "l", "path", path("s"), "symlink path", path("a")}}, "a s->a"},
		{"a link without a target", list{file(1, "a"), dict{"attr", "l", "length", 0, "path", path("s")}}, "a s->"},
		{"a link out", list{file(1, "a"), dict{"attr", "l", "length", 0, "path", path("d/s"), "symlink path", path("../../x")}}, "a d/s->"},
		{"a link to an absolute path", list{file(1, "a"), dict{"attr", "l", "length", 0, "path", path("s"), "symlink path", path("/a")}}, "a s->"},
		{"a link to the torrent's folder", list{file(1, "a"), dict{"attr", "l", "length", 0, "path", path("d/s"), "symlink path", path("..")}}, "a d/s->"},
		{"a link relative to its folder", list{file(1, "docs/x"), dict{"attr", "l", "length", 0, "path", path("bin/s"), "symlink path", path("../docs/x")}}, "docs/x bin/s->docs/x"},
		{"a link beside its target", list{file(1, "bin/x"), dict{"attr", "l", "length", 0, "path", path("bin/s"), "symlink path", path("x")}}, "bin/x bin/s->bin/x"},
		{"BEP 47: relative to the torrent root", list{file(1, "x"), file(1, "bin/x"), dict{"attr", "l", "length", 0, "path", path("bin/s"), "symlink path", path("x")}}, "x bin/x bin/s->x"},
		{"a link in one piece", list{file(1, "a/b"), dict{"attr", "l", "length", 0, "path", path("s"), "symlink path", list{"a/b"}}}, "a/b s->a/b"},
		{"a link to a missing file", list{file(1, "a"), dict{"attr", "l", "length", 0, "path", path("s"), "symlink path", path("b")}}, "a s->b"},
	} {
		i, err := ParseInfo([]byte(be(multi(c.in...))))
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		checkInfo(t, i)
		var got []string
		for k := range i.Files {
			f := &i.Files[k]
			s := joined(f.Path)
			if f.Folder {
				s += "/"
			}
			if f.Symlink != nil {
				s += "->" + joined(f.Symlink)
			}
			got = append(got, s)
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
	for name, want := range map[string]string{"..": "", "/etc/passwd": "etc_passwd", `C:\x`: "C__x", "/": "", "temp/../../abc": "temp_.._.._abc"} {
		i, err := ParseInfo([]byte(be(dict{"length", 5, "name", name, "piece length", BlockSize, "pieces", hashes(1)})))
		if err != nil {
			t.Error(err)
			continue
		}
		if want == "" {
			want = i.Hash.String()
		}
		if i.Name != want || i.SpelledName != name || !slices.Equal(i.Files[0].Spelled, []string{name}) {
			t.Errorf("%q: %q, %q", name, i.Name, i.SpelledName)
		}
	}
}

// TestSubstitutes checks the names for file systems that reject some names or do not
// distinguish them.
func TestSubstitutes(t *testing.T) {
	in := func(paths ...string) *Info {
		var files list
		for _, p := range paths {
			files = append(files, file(1, p))
		}
		i, err := ParseInfo([]byte(be(multi(files...))))
		if err != nil {
			t.Fatal(err)
		}
		return i
	}
	for _, c := range []struct {
		name  string
		paths string
		rules NameRules
		want  string
	}{
		{"none", "aa: A é", NameRules{}, "aa: A é"},
		{"reserved", "aa:b aux.c c./d aa?b", NameRules{DOS: true}, "aa_b _aux.c c/d aa_b.1"},
		{"devices", "con.txt d/nul.a.b", NameRules{DOS: true}, "_con.txt d/_nul.a.b"},
		{"case", "README readme Dir/a dir/A dir/b", NameRules{Fold: true}, "README readme.1 Dir/a dir/A.1 dir/b"},
		{"what is replaced clashes with what was there", "aa:b aa_b AA_B", NameRules{DOS: true, Fold: true}, "aa_b aa_b.1 AA_B.2"},
		{"scripts", "é/ä b/a", NameRules{ASCII: true}, "_/_ b/a"},
	} {
		i := in(strings.Fields(c.paths)...)
		name, subs := i.Substitutes(c.rules)
		if name != "" {
			t.Errorf("%s: name %q", c.name, name)
		}
		var got []string
		for k := range i.Files {
			p, ok := subs[k]
			if !ok {
				p = i.Files[k].Path
			} else if slices.Equal(p, i.Files[k].Path) {
				t.Errorf("%s: %q in place of itself", c.name, p)
			}
			got = append(got, joined(p))
		}
		if s := strings.Join(got, " "); s != c.want {
			t.Errorf("%s: %s, want %s", c.name, s, c.want)
		}
	}
	i := in(strings.Repeat("x", 200))
	_, subs := i.Substitutes(NameRules{MaxName: 143})
	if p := joined(subs[0]); len(p) != 143 {
		t.Errorf("%q", p)
	}
	i.Name = "what?"
	if name, _ := i.Substitutes(NameRules{DOS: true}); name != "what_" {
		t.Errorf("%q", name)
	}
}
