package qbittorrent

import (
	"fmt"
	"testing"

	"seedbed/node"
)

// filePrio sets the priority of files and whether they are wanted. A low priority, which other
// interfaces have, is shown as a normal one.
func TestPrioritiesOfFiles(t *testing.T) {
	r := newRig(t)
	r.login()
	film := r.seed("film", map[string]string{"a": "a", "b": "b", "c": "c"}, nil)
	priorities := func() (out string) {
		var list []struct{ Priority int }
		r.object("torrents/files?hash="+film, &list)
		for _, f := range list {
			out += fmt.Sprint(f.Priority)
		}
		return out
	}
	x := r.d.Node().Torrents()[0]
	for _, step := range []struct{ id, priority, want string }{
		{"0|2", "7", "717"}, {"2", "6", "716"}, {"1", "0", "706"}, {"1", "6", "766"}, {"0", "1", "166"}, {"0", "0", "066"}, {"0", "1", "166"},
	} {
		if code, body := r.post("torrents/filePrio", "hash="+film+"&id="+step.id+"&priority="+step.priority); code != 200 || priorities() != step.want {
			t.Errorf("files %s to %s: %d %s, %s", step.id, step.priority, code, body, priorities())
		}
	}
	if err := x.SetPriority(t.Context(), node.PriorityLow, []int{1}); err != nil || priorities() != "166" {
		t.Errorf("low: %v, %s", err, priorities())
	}
	for _, bad := range []string{"5", "x"} {
		if code, _ := r.post("torrents/filePrio", "hash="+film+"&id=0&priority="+bad); code != 400 {
			t.Errorf("priority %s: %d", bad, code)
		}
	}
}

// The order of pieces is given with torrents/add, and each part of it toggles.
func TestOrderOfPieces(t *testing.T) {
	r := newRig(t)
	r.login()
	r.post("torrents/add", "stopped=true&sequentialDownload=true&urls="+magnet)
	order := func() string {
		x := r.one(magnet)
		return fmt.Sprint(x["seq_dl"], x["f_l_piece_prio"])
	}
	if got := order(); got != "true false" {
		t.Errorf("added: %s", got)
	}
	for _, step := range []struct{ path, want string }{
		{"toggleFirstLastPiecePrio", "true true"}, {"toggleSequentialDownload", "false true"}, {"toggleFirstLastPiecePrio", "false false"},
	} {
		if code, body := r.post("torrents/"+step.path, "hashes="+magnet); code != 200 || order() != step.want {
			t.Errorf("%s: %d %s, %s", step.path, code, body, order())
		}
	}
	var data struct {
		RID      int64
		Torrents map[string]map[string]any
	}
	r.object("sync/maindata?rid=0", &data)
	r.post("torrents/toggleSequentialDownload", "hashes="+magnet)
	next := data.RID
	data.Torrents = nil
	if r.object(fmt.Sprintf("sync/maindata?rid=%d", next), &data); data.Torrents[magnet]["seq_dl"] != true {
		t.Errorf("maindata: %v", data)
	}
	if code, _ := r.post("torrents/add", "stopped=true&firstLastPiecePrio=true&urls="+magnet[1:]+"0"); code != 200 || r.one(magnet[1:] + "0")["f_l_piece_prio"] != true {
		t.Errorf("added with the first and last pieces first: %d", code)
	}
}
