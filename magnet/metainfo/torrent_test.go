package metainfo

import (
	"bytes"
	"crypto/sha1"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
	"pgregory.net/rapid"
)

var single = raw(be(dict{"length", 100, "name", "a", "piece length", BlockSize, "pieces", hashes(1)}))

func TestTorrentFilesOfTheBEPs(t *testing.T) {
	for _, c := range []struct {
		sentence string
		in       dict
		want     Torrent
	}{
		{"BEP 3: info is all that a torrent file needs here", dict{"info", single}, Torrent{}},
		{"BEP 3: announce is the URL of the tracker", dict{"announce", "http://t/", "info", single}, Torrent{Trackers: [][]string{{"http://t/"}}}},
		{"BEP 12: if the announce-list key is present, the client will ignore the announce key",
			dict{"announce", "x", "announce-list", list{list{"a", "b"}, list{"c"}}, "info", single}, Torrent{Trackers: [][]string{{"a", "b"}, {"c"}}}},
		{"an empty announce-list is ignored", dict{"announce", "x", "announce-list", list{list{}, list{""}}, "info", single}, Torrent{Trackers: [][]string{{"x"}}}},
		{"BEP 19: url-list is a string", dict{"info", single, "url-list", "http://w/"}, Torrent{WebSeeds: []string{"http://w/"}}},
		{"BEP 19: or a list of them", dict{"info", single, "url-list", list{"http://w/", "", "ftp://x/"}}, Torrent{WebSeeds: []string{"http://w/", "ftp://x/"}}},
		{"BEP 5: nodes is a list of [host, port]", dict{"info", single, "nodes", list{list{"127.0.0.1", 6881}, list{"your.router.node", 4804}, list{"2001:db8::1", 1}, list{"[::1]", 2}}},
			Torrent{Nodes: []string{"127.0.0.1:6881", "your.router.node:4804", "[2001:db8::1]:1", "[::1]:2"}}},
		{"bad nodes are ignored", dict{"info", single, "nodes", list{list{"a", 0}, list{"a", 65536}, list{"", 1}, list{"a"}, list{1, "a"}, "a:1", list{"b", 2}}},
			Torrent{Nodes: []string{"b:2"}}},
		{"comment, created by and creation date", dict{"comment", "c", "created by", "me", "creation date", 1234567890, "info", single},
			Torrent{Comment: "c", CreatedBy: "me", CreationDate: 1234567890}},
		{"comment.utf-8 takes precedence over comment", dict{"comment", "\xff", "comment.utf-8", "é", "info", single}, Torrent{Comment: "é"}},
		{"entries of the wrong type are ignored", dict{"announce", 1, "announce-list", "x", "comment", 1, "creation date", "x", "info", single, "nodes", 1, "url-list", 1}, Torrent{}},
		{"keys in any order", dict{"info", single, "comment", "c"}, Torrent{Comment: "c"}},
	} {
		got, err := ParseTorrent([]byte(be(c.in) + "\n"))
		if err != nil {
			t.Errorf("%s: %v", c.sentence, err)
			continue
		}
		if got.Info == nil || got.Info.Length != 100 || got.Info.Hash != sha1.Sum([]byte(single)) {
			t.Errorf("%s: %+v", c.sentence, got.Info)
		}
		same(t, c.sentence, &c.want, got)
		again, err := ParseTorrent(got.Append(nil))
		if err != nil {
			t.Errorf("%s: %v", c.sentence, err)
			continue
		}
		same(t, c.sentence, got, again)
	}
}

// same compares everything except the info, which it compares by its bytes.
func same(t interface{ Errorf(string, ...any) }, name string, want, got *Torrent) {
	if d := cmp.Diff(want, got, cmpopts.IgnoreFields(Torrent{}, "Info", "Warnings"), cmpopts.EquateEmpty()); d != "" {
		t.Errorf("%s: %s", name, d)
	}
	if want.Info != nil && !bytes.Equal(want.Info.Raw, got.Info.Raw) {
		t.Errorf("%s: the info dictionary differs", name)
	}
}

// TestInvalidEntriesOutsideTheInfoAreIgnored checks that they only cause a warning.
func TestInvalidEntriesOutsideTheInfoAreIgnored(t *testing.T) {
	for _, c := range []struct {
		key  string
		val  any
		want string // of the warning; empty if there is none
	}{
		{"creation date", raw("i99999999999999999999999e"), "creation date: is not a number of seconds; ignored"},
		{"creation date", raw("i1.5e"), "creation date: is not a number of seconds"},
		{"creation date", raw("ie"), "creation date: is not a number of seconds"},
		{"creation date", 1700000000, ""},
		{"comment", list{"a"}, "comment: is not a string"},
		{"announce", 5, "announce: is not a string"},
		{"announce-list", "http://x", "announce-list: is not a list of lists of URLs"},
		{"url-list", dict{}, "url-list: is not a list of URLs"},
		{"url-list", "", ""},
		{"url-list", list{}, ""},
		{"nodes", list{list{"h", "1"}}, "nodes: is not a list of hosts and ports"},
		{"nodes", list{}, ""},
		{"an unknown key", raw("i00e"), ""},
	} {
		got, err := ParseTorrent([]byte(be(dict{c.key, c.val, "info", raw(single)})))
		switch {
		case err != nil:
			t.Errorf("%s: %v", c.key, err)
		case c.want == "" && got.Warnings != nil:
			t.Errorf("%s: %v", c.key, got.Warnings)
		case c.want != "" && (len(got.Warnings) != 1 || !strings.Contains(got.Warnings[0].Error(), c.want)):
			t.Errorf("%s: %v, want %s", c.key, got.Warnings, c.want)
		}
	}
	var many dict
	for range 1000 {
		many = append(many, "comment", 5)
	}
	if got, err := ParseTorrent([]byte(be(append(many, "info", raw(single))))); err != nil || len(got.Warnings) != maxTorrentWarnings {
		t.Error(err)
	}
}

func TestAppendIsCanonical(t *testing.T) {
	i, err := ParseInfo([]byte(single))
	if err != nil {
		t.Fatal(err)
	}
	got := (&Torrent{Info: i, Trackers: [][]string{{"a", "b"}}, WebSeeds: []string{"w"}, Nodes: []string{"[::1]:5"}, Comment: "c", CreatedBy: "me", CreationDate: 7}).Append([]byte("x"))
	want := "x" + be(dict{"announce", "a", "announce-list", list{list{"a", "b"}}, "comment", "c", "created by", "me", "creation date", 7, "info", single,
		"nodes", list{list{"::1", 5}}, "url-list", list{"w"}})
	if string(got) != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := string((&Torrent{Info: i}).Append(nil)); got != be(dict{"info", single}) {
		t.Error(got)
	}
}

func TestInvalidTorrentsAreRejected(t *testing.T) {
	for _, c := range []struct{ name, in, want string }{
		{"nothing", "", "not a torrent file"},
		{"text", "<html>", "not a torrent file"},
		{"a list", "le", "it is not a dictionary"},
		{"100,000 deep", strings.Repeat("d1:a", 100_000), "not a torrent file"},
		{"no info", be(dict{"announce", "x"}), "info: is missing: not a torrent file"},
		{"two infos", be(dict{"info", single, "info", single}), "info: occurs twice"},
		{"a bad info", be(dict{"info", dict{"name", "x"}}), "pieces: is missing"},
		{"an info of the wrong type", be(dict{"info", 5}), "the info is not a dictionary"},
	} {
		got, err := ParseTorrent([]byte(c.in))
		te := (*Error)(nil)
		if got != nil || !errors.As(err, &te) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestListsOutsideTheInfoAreLimited(t *testing.T) {
	many := make(list, maxExtras+10)
	nodes := make(list, maxExtras+10)
	for k := range many {
		many[k], nodes[k] = "u", list{"h", 1}
	}
	got, err := ParseTorrent([]byte(be(dict{"announce-list", list{many}, "info", single, "nodes", nodes, "url-list", many})))
	if err != nil || len(got.Trackers[0]) != maxExtras || len(got.WebSeeds) != maxExtras || len(got.Nodes) != maxExtras {
		t.Error(err)
	}
}

func TestPieceLengthFor(t *testing.T) {
	const mib, gib, tib = 1 << 20, 1 << 30, int64(1) << 40
	for total, want := range map[int64]int64{
		0: 16 << 10, 1: 16 << 10, 32 * mib: 16 << 10, 32*mib + 1: 32 << 10, gib: 512 << 10, 4 * gib: 2 * mib,
		32 * gib: 16 * mib, tib: 16 * mib, 4 * tib: 16 * mib, 4*tib + 1: 32 * mib, 100 * tib: 512 * mib,
	} {
		if got := PieceLengthFor(total); got != want {
			t.Errorf("%d: %d, want %d", total, got, want)
		}
	}
	if err := quickBuild(4 * tib); err != nil {
		t.Error(err)
	}
}

func quickBuild(total int64) error {
	n := PieceLengthFor(total)
	_, err := Build(Plan{Name: "n", PieceLength: n, Files: []PlanFile{{Length: total}}}, make([]byte, (total+n-1)/n*hashLen))
	return err
}

func TestBuild(t *testing.T) {
	h := []byte(hashes(1))
	for _, c := range []struct {
		name string
		plan Plan
		want string
	}{
		{"a single file", Plan{Name: "a", PieceLength: BlockSize, Files: []PlanFile{{Length: 100}}}, string(single)},
		{"a single file by its path", Plan{Name: "a", PieceLength: BlockSize, Files: []PlanFile{{Path: []string{"a"}, Length: 100}}}, string(single)},
		{"one file in a directory", Plan{Name: "n", PieceLength: BlockSize, Files: []PlanFile{{Path: []string{"a", "b"}, Length: 100}}}, be(multi(file(100, "a/b")))},
		{"several files, private", Plan{Name: "n", PieceLength: BlockSize, Private: true, Files: []PlanFile{{Path: []string{"z"}, Length: 1}, {Path: []string{"a"}}}},
			be(append(multi(file(1, "z"), file(0, "a")), "private", 1))},
	} {
		i, err := Build(c.plan, h)
		if err != nil || string(i.Raw) != c.want {
			t.Errorf("%s: %v %s", c.name, err, c.want)
		}
	}
	for _, c := range []struct {
		name string
		plan Plan
		want string
	}{
		{"no files", Plan{Name: "a", PieceLength: BlockSize}, "files: is empty"},
		{"no bytes", Plan{Name: "a", PieceLength: BlockSize, Files: []PlanFile{{Length: 0}}}, "it holds no data"},
		{"the wrong number of hashes", Plan{Name: "a", PieceLength: 10, Files: []PlanFile{{Length: 100}}}, "pieces: has 1 hashes"},
		{"a name that is not UTF-8", Plan{Name: "a\xff", PieceLength: BlockSize, Files: []PlanFile{{Length: 100}}}, `name: "a\xff" is not UTF-8: rename it`},
		{"a path that is not UTF-8", Plan{Name: "a", PieceLength: BlockSize, Files: []PlanFile{{Path: []string{"x", "\xff"}, Length: 100}}}, `files[0].path: "x/\xff" is not UTF-8`},
		{"a name that is none elsewhere", Plan{Name: "CON", PieceLength: BlockSize, Files: []PlanFile{{Length: 100}}}, `name: "CON" would be replaced by "_CON" in other clients: rename it`},
		{"..", Plan{Name: "..", PieceLength: BlockSize, Files: []PlanFile{{Length: 100}}}, "in other clients: rename it"},
	} {
		_, err := Build(c.plan, h)
		te := (*Error)(nil)
		if !errors.As(err, &te) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

func TestTorrentRoundTrip(t *testing.T) {
	i, err := ParseInfo([]byte(single))
	if err != nil {
		t.Fatal(err)
	}
	text := rapid.StringN(1, 20, -1)
	rapid.Check(t, func(t *rapid.T) {
		in := &Torrent{Info: i,
			Trackers: rapid.SliceOfN(rapid.SliceOfN(text, 1, 3), 0, 3).Draw(t, "trackers"),
			WebSeeds: rapid.SliceOfN(text, 0, 3).Draw(t, "web seeds"),
			Nodes:    rapid.SliceOfN(rapid.SampledFrom([]string{"a:1", "[::1]:65535", "1.2.3.4:80"}), 0, 3).Draw(t, "nodes"),
			Comment:  rapid.String().Draw(t, "comment"), CreatedBy: rapid.String().Draw(t, "by"), CreationDate: rapid.Int64().Draw(t, "date"),
		}
		out, err := ParseTorrent(in.Append(nil))
		if err != nil {
			t.Fatal(err)
		}
		same(t, "round trip", in, out)
	})
}

func FuzzParseTorrent(f *testing.F) {
	for _, d := range []dict{
		{"announce", "http://t/", "announce-list", list{list{"a", "b"}, list{"c"}}, "comment", "c", "created by", "b", "creation date", 5, "info", single, "nodes", list{list{"::1", 6881}}, "url-list", "w"},
		{"info", raw(be(multi(file(5, "a/b"), file(0, "../d"))))},
		{"comment.utf-8", "x", "info", single, "nodes", list{list{"a:b", 1}}, "url-list", list{"x", 1}},
		{"info", dict{}},
	} {
		f.Add([]byte(be(d)))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		tor, err := ParseTorrent(b)
		if err != nil {
			if te := (*Error)(nil); tor != nil || !errors.As(err, &te) {
				t.Fatal(tor, err)
			}
			return
		}
		checkInfo(t, tor.Info)
		out := tor.Append(nil)
		again, err := ParseTorrent(out)
		if err != nil {
			t.Fatal(err)
		}
		same(t, "again", tor, again)
		if !bytes.Equal(again.Append(nil), out) {
			t.Fatal("the canonical form is not stable")
		}
	})
}

func ExampleBuild() {
	data := []byte("hello, swarm")
	sum := sha1.Sum(data)
	i, err := Build(Plan{
		Name:        "greeting.txt",
		PieceLength: PieceLengthFor(int64(len(data))),
		Files:       []PlanFile{{Length: int64(len(data))}},
	}, sum[:])
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println(i.Hash)
	fmt.Println(i.Name, i.Length, i.NumPieces(), i.PieceSize(0))
	// Output:
	// f1b804673d20dd737340d976d92976e74a28bd13
	// greeting.txt 12 1 12
}
