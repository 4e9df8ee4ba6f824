package api_test

import (
	"maps"
	"testing"

	"seedbed/magnet/metainfo"
)

// twoFiles returns a torrent of two files.
func twoFiles(t *testing.T) []byte {
	info, err := metainfo.Build(metainfo.Plan{Name: "two", PieceLength: 16 << 10, Files: []metainfo.PlanFile{
		{Path: []string{"a"}, Length: 20_000}, {Path: []string{"b"}, Length: 20_000}}}, make([]byte, 60))
	if err != nil {
		t.Fatal(err)
	}
	return (&metainfo.Torrent{Info: info}).Append(nil)
}

// The priorities of files, the order of pieces and the limit of peers are given when a torrent is
// added, changed one by one, and shown.
func TestPrioritiesAndOrder(t *testing.T) {
	r := newRig(t)
	var made object
	files := func(id string) string {
		var list struct{ Files []object }
		if code := r.do("GET", "/v1/torrents/"+id+"/files", nil, &list); code != 200 || len(list.Files) != 2 {
			t.Fatalf("files: %d %v", code, list)
		}
		return list.Files[0]["priority"].(string) + " " + list.Files[1]["priority"].(string)
	}
	order := func(o object) object {
		maps.DeleteFunc(o, func(k string, _ any) bool { return k != "sequential" && k != "first_last" && k != "max_peers" })
		return o
	}
	add := object{"torrent": twoFiles(t), "paused": true, "priorities": object{"high": []int{2}}, "sequential": true, "max_peers": 5}
	if code := r.do("POST", "/v1/torrents", add, &made); code != 201 || !maps.Equal(order(made), object{"sequential": true, "first_last": false, "max_peers": 5.0}) {
		t.Fatalf("add: %d %v", code, made)
	}
	if got := files("1"); got != "normal high" {
		t.Errorf("added with %s", got)
	}
	change := object{"priorities": object{"maximum": []int{1}, "low": []int{2}}, "sequential": false, "first_last": true, "max_peers": 0}
	if code := r.do("PATCH", "/v1/torrents/1", change, &made); code != 200 || !maps.Equal(order(made), object{"sequential": false, "first_last": true, "max_peers": 0.0}) {
		t.Errorf("change: %d %v", code, made)
	}
	if got := files("1"); got != "maximum low" {
		t.Errorf("changed to %s", got)
	}
	if code := r.do("PATCH", "/v1/torrents/1", object{"priorities": object{"normal": []int{1}}}, &made); code != 200 || files("1") != "normal low" {
		t.Errorf("change of one file: %d %v, %s", code, made, files("1"))
	}
	for what, change := range map[string]object{
		"a file that is not there": {"priorities": object{"high": []int{3}}}, "a negative piece": {"sequential_from": -1}, "an unknown priority": {"priorities": object{"urgent": []int{1}}},
	} {
		if code := r.do("PATCH", "/v1/torrents/1", change, &made); code < 400 || code >= 500 {
			t.Errorf("%s: %d %v", what, code, made)
		}
	}
	if code := r.do("POST", "/v1/torrents", object{"link": "0123456789012345678901234567890123456789", "priorities": object{"high": []int{1}, "low": []int{1}}}, &made); code < 400 || code >= 500 {
		t.Errorf("one file with two priorities: %d %v", code, made)
	}
}
