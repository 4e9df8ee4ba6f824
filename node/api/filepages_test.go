package api_test

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/lifecycle"
	"seedbed/node/view"
)

// manyFiles returns a .torrent file with n files of one byte in folders of 100, with padding after each.
func manyFiles(n int) []byte {
	var b strings.Builder
	b.WriteString("d4:infod5:filesl")
	for i := range n {
		fmt.Fprintf(&b, "d6:lengthi1e4:pathl6:folder4:%04d6:%06deed4:attr1:p6:lengthi1e4:pathl4:.pad6:%06dee", i/100, i, i)
	}
	pieces := (2*n + 16383) / 16384
	fmt.Fprintf(&b, "e4:name5:%05d12:piece lengthi16384e6:pieces%d:%see", n, 20*pieces, strings.Repeat("x", 20*pieces))
	return []byte(b.String())
}

// pages reads a list of files in pages of a size.
func (r *rig) pages(path string, size int) (files []view.TorrentFile) {
	for {
		var l api.FileList
		after := 0
		if len(files) > 0 {
			after = files[len(files)-1].Number
		}
		if code := r.do("GET", fmt.Sprintf("%s?limit=%d&after=%d", path, size, after), nil, &l); code != 200 {
			r.t.Fatalf("%s: %d", path, code)
		}
		files = append(files, l.Files...)
		if !l.More || len(l.Files) == 0 {
			return files
		}
	}
}

// The pages of a list of files make up the whole list, which agrees with what the torrent itself says. A page of a torrent of 20,000
// files costs what one of a torrent of 20 files does.
func TestAPageOfTheFilesCostsWhatIsInIt(t *testing.T) {
	r := newRig(t)
	cost := map[string][]float64{}
	for number, n := range []int{20, 20_000} {
		var made view.Torrent
		chosen := []int{n, 3, 11}
		content := manyFiles(n)
		if code := r.do("POST", "/v1/torrents", object{"torrent": content, "select": chosen, "priorities": object{"high": []int{3}, "low": []int{4, n}}}, &made); code != 201 {
			t.Fatalf("%d %s", code, made.Hint)
		}
		path := fmt.Sprintf("/v1/torrents/%d/files", number+1)
		x, err := r.d.Find(made.InfoHash)
		if err != nil {
			t.Fatal(err)
		}
		await := func(what string, is func() bool) {
			for deadline := time.Now().Add(time.Minute); !is(); time.Sleep(10 * time.Millisecond) {
				if time.Now().After(deadline) {
					t.Fatalf("%s: it is %v", what, x.Snapshot().State)
				}
			}
		}
		await("it does not start", func() bool { return x.Snapshot().State == lifecycle.Downloading })
		if err := x.RenameFile(t.Context(), "folder/0000/000002", "renamed"); err != nil {
			t.Fatal(err)
		}
		await("it is not renamed", func() bool { return x.FilePaths()[4] == "folder/0000/renamed" })
		whole := r.pages(path, 1_000_000)
		if len(whole) != n || !reflect.DeepEqual(r.pages(path, n/3), whole) {
			t.Fatalf("%d files, or the pages differ from the whole list", len(whole))
		}
		wanted, have, paths, priorities := map[int]bool{}, x.FileProgress(), x.FilePaths(), x.Details().Priorities.Of(n)
		for _, i := range x.Files() {
			wanted[i] = true
		}
		if len(wanted) != len(chosen) || whole[2].Path != "folder/0000/renamed" {
			t.Fatalf("%d files are wanted; the third is %+v", len(wanted), whole[2])
		}
		for k, f := range whole {
			if i := 2 * k; f.Number != k+1 || f.Path != paths[i] || f.Selected != wanted[i] || f.Have != have[i] || f.Priority != node.PriorityName(priorities[k]) {
				t.Fatalf("%+v", f)
			}
		}
		var j view.Job
		if code := r.do("POST", "/v1/inspect", object{"torrent": content}, &j); code != 202 {
			t.Fatalf("%d %+v", code, j)
		}
		inspected := fmt.Sprintf("/v1/jobs/%d/files", r.ended(&j).Number)
		if list := r.pages(inspected, n/3); len(list) != n || list[n-1].Number != n || list[n-1].Path != fmt.Sprintf("folder/%04d/%06d", (n-1)/100, n-1) {
			t.Fatalf("%d inspected files", len(list))
		}
		measure := func(name, p string) {
			cost[name] = append(cost[name], testing.AllocsPerRun(10, func() {
				var l api.FileList
				if r.do("GET", p+"?limit=9&after=11", nil, &l); len(l.Files) != 9 {
					t.Fatalf("%+v", l)
				}
			}))
		}
		measure("running", path)
		measure("inspected", inspected)

		// What is kept of a torrent that does not run is not what was renamed since.
		if err := x.Pause(t.Context()); err != nil {
			t.Fatal(err)
		}
		await("it is not paused", func() bool { return x.Snapshot().State == lifecycle.Paused })
		if !reflect.DeepEqual(r.pages(path, n/3), whole) {
			t.Error("the files of the paused torrent differ")
		}
		for _, name := range []string{"again", "and again"} {
			// With 202 it takes longer, as on a busy machine.
			if code := r.do("POST", fmt.Sprintf("/v1/torrents/%d/rename?wait=30", number+1), object{"path": whole[2].Path, "name": name}, nil); code != 200 && code != 202 {
				t.Fatal(code)
			}
			await("the file is not renamed", func() bool {
				whole = r.pages(path, n/3)
				return whole[2].Path == "folder/0000/"+name
			})
		}
		measure("paused", path)
	}
	for name, c := range cost {
		if t.Logf("%s: %.0f allocations with 20 files, %.0f with 20,000", name, c[0], c[1]); c[1] > 3*c[0] {
			t.Errorf("%s: the cost grows with the torrent", name)
		}
	}
}

// Files are added to the wanted ones and taken away by their numbers, without naming the others. At least one stays.
func TestFilesAreWantedAndSkippedByNumber(t *testing.T) {
	r := newRig(t)
	if code := r.do("POST", "/v1/torrents", object{"torrent": manyFiles(4), "paused": true, "select": []int{2, 4}}, nil); code != 201 {
		t.Fatal(code)
	}
	for _, c := range []struct {
		change object
		code   int
		want   string
	}{
		{object{"want": []int{1}}, 200, "1 2 4"},
		{object{"skip": []int{2, 4, 3}, "want": []int{3}}, 200, "1"},
		{object{"skip": []int{1}}, 400, "1"},
		{object{"skip": []int{5}}, 400, "1"},
		{object{"want": []int{0}}, 400, "1"},
		{object{"want": []int{4, 3, 2}}, 200, "1 2 3 4"},
		{object{"skip": []int{3}}, 200, "1 2 4"},
	} {
		var p api.Problem
		code := r.do("PATCH", "/v1/torrents/1", object{"files": c.change}, &p)
		var got []string
		for _, f := range r.pages("/v1/torrents/1/files", 3) {
			if f.Selected {
				got = append(got, fmt.Sprint(f.Number))
			}
		}
		if code != c.code || strings.Join(got, " ") != c.want || code == 400 && (p.Detail == "" || p.Hint == "") {
			t.Errorf("%v: %d %+v, the wanted files are %v", c.change, code, p, got)
		}
	}
	if code := r.do("POST", "/v1/torrents", object{"link": strings.Repeat("ab", 20), "paused": true}, nil); code != 201 {
		t.Fatal(code)
	}
	if code := r.do("PATCH", "/v1/torrents/2", object{"files": object{"skip": []int{1}}}, nil); code < 400 || code >= 500 {
		t.Errorf("files that are not known: %d", code)
	}
}
