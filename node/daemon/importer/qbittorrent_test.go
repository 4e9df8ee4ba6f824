package importer

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/internal/bencode"
	"seedbed/node"
)

// fastresume5 is what qBittorrent 5 with libtorrent 2 saves of a torrent.
func fastresume5() dict {
	return dict{
		"file-format": "libtorrent resume file", "file-version": 1, "libtorrent-version": "2.0.10.0", "allocation": "sparse",
		"total_uploaded": 2000, "total_downloaded": 1000, "active_time": 150, "finished_time": 90, "seeding_time": 90,
		"last_seen_complete": 0, "last_download": 1780000250, "last_upload": 1780000300, "num_complete": 1, "num_incomplete": 0,
		"seed_mode": 0, "paused": 1, "auto_managed": 0, "added_time": 1780000000, "completed_time": 1780000200, "save_path": "/data/new",
		"info-hash": strings.Repeat("x", 20), "trackers": []any{}, "url-list": []any{"http://example.org/"},
		"unfinished": []any{dict{"piece": 4, "bitmask": "\x01"}},
		"pieces":     "\x01\x01\x03\x01\x00\x00\x01", "mapped_files": []any{"", "T/sub/other.!qB", "T/c.!qB"},
		"upload_rate_limit": 50000, "download_rate_limit": -1, "file_priority": []any{7, 0, 6}, "sequential_download": 1,
		"qBt-ratioLimit": 2500, "qBt-seedingTimeLimit": -1, "qBt-inactiveSeedingTimeLimit": 30, "qBt-shareLimitAction": "Default",
		"qBt-category": "films", "qBt-tags": []any{"hd", "new"}, "qBt-name": "Shown", "qBt-seedStatus": 0, "qBt-contentLayout": "Original",
		"qBt-firstLastPiecePriority": 1, "qBt-stopCondition": "None", "qBt-savePath": "/data/done", "qBt-downloadPath": "/data/new",
	}
}

func TestQBittorrent5(t *testing.T) {
	r := newRig(t)
	tor := torrentFile(t)
	r.write("data/BT_backup/"+tor.Info.Hash.String()+".torrent", tor.Append(nil))
	r.write("data/BT_backup/"+tor.Info.Hash.String()+".fastresume", encode(nil, fastresume5()))
	x := r.only(QBittorrent(r.dir))
	r.equal("totals", x.From.Totals, node.Totals{Uploaded: 2000, Downloaded: 1000, Downloading: time.Minute, Seeding: 90 * time.Second,
		Added: time.Unix(1780000000, 0).UTC(), Completed: time.Unix(1780000200, 0).UTC(), Active: time.Unix(1780000300, 0).UTC()})
	r.equal("folders", []string{x.Spec.Dir, x.Spec.FinalDir}, []string{"/data/new", "/data/done"})
	r.equal("name", x.Spec.Name(), "Shown")
	r.equal("category", x.Spec.Category, "films")
	r.equal("tags", x.Spec.Labels, []string{"hd", "new"})
	r.equal("selection", x.Spec.Select, []int{1, 3})
	r.equal("paused", x.Spec.Paused, true)
	r.equal("limits", []int64{x.Spec.UpRate, x.Spec.DownRate}, []int64{50000, 0})
	r.equal("goals", x.Spec.Goals, node.Goals{Ratio: 2.5, Time: -1, Idle: 30 * time.Minute})
	r.equal("priorities", x.Spec.Priorities, node.Priorities{High: []int{3}, Maximum: []int{1}})
	r.equal("order", x.Spec.Order, node.Order{Sequential: true, FirstLast: true})
	r.equal("mirrors", x.Spec.Torrent.WebSeeds, []string{"http://example.org/"})
	c := x.From.Claim
	r.equal("pieces", slices.Collect(c.Pieces.All()), []int{0, 1, 2, 3, 6})
	r.equal("names", []string{c.Files[0].Name, c.Files[1].Name, c.Files[2].Name, c.Suffix}, []string{"", "T/sub/other", "T/c", ".!qB"})
	r.equal("time", c.Files[0].Until, r.at.Unix())
}

// The order is that of the file queue; torrents that are not in it come last. qBittorrent 4 before
// 4.2 saved the ratio as text.
func TestQBittorrentQueue(t *testing.T) {
	r := newRig(t)
	var order []string
	for i := range 4 {
		hash := strings.Repeat(string(rune('a'+i)), 40)
		v := fastresume5()
		raw := make([]byte, 20)
		for k := range raw {
			raw[k] = byte(i + 1)
		}
		v["info-hash"], v["qBt-ratioLimit"], v["auto_managed"] = string(raw), "1.5", 1
		r.write("BT_backup/"+hash+".fastresume", encode(nil, v))
		order = append(order, hash)
	}
	r.write("BT_backup/queue", []byte(order[2]+"\n"+order[0]+"\n"+strings.Repeat("9", 40)+"\n"+order[3]+"\n"))
	s, err := QBittorrent(r.dir)
	if err != nil || len(s.Torrents) != 4 {
		t.Fatal(s, err)
	}
	var got []byte
	for _, x := range s.Torrents {
		got = append(got, x.Spec.InfoHash()[0])
		if x.Spec.Link == nil || x.Spec.Goals.Ratio != 1.5 || x.Spec.Paused || x.From.Claim != nil {
			t.Errorf("%+v", x.Spec)
		}
	}
	r.equal("order", got, []byte{3, 1, 4, 2})
}

// A session in a database is an error, as is a folder of something else. A damaged torrent is
// reported, and the others are imported.
func TestQBittorrentDamage(t *testing.T) {
	r := newRig(t)
	if _, err := QBittorrent(r.dir); !os.IsNotExist(err) {
		t.Error(err)
	}
	r.write("BT_backup/a.fastresume", encode(nil, fastresume5()))
	r.write("BT_backup/b.fastresume", []byte("d"))
	r.write("BT_backup/c.fastresume", encode(nil, dict{"save_path": "/data"}))
	v := fastresume5()
	v["save_path"] = "data"
	r.write("BT_backup/d.fastresume", encode(nil, v))
	for _, dir := range []string{r.dir, filepath.Join(r.dir, "BT_backup")} {
		if s, err := QBittorrent(dir); err != nil || len(s.Torrents) != 1 || len(s.Failed) != 3 {
			t.Errorf("%d torrents, failed: %v, %v", len(s.Torrents), s.Failed, err)
		}
	}
	r.write("torrents.db", nil)
	if _, err := QBittorrent(r.dir); !errors.Is(err, ErrDatabase) {
		t.Error(err)
	}
}

// FuzzQBittorrent reads hostile resume data.
func FuzzQBittorrent(f *testing.F) {
	f.Add(encode(nil, fastresume5()))
	f.Fuzz(func(t *testing.T, b []byte) {
		v, _, err := bencode.Parse(b, limits)
		if err != nil {
			return
		}
		x := Torrent{Spec: node.Spec{Torrent: torrentFile(t), Dir: "/data"}}
		if err := x.fastresume(v, time.Unix(1790000000, 0)); err != nil {
			return
		}
		if wanted, have := x.Sizes(); have < 0 || have > wanted || wanted > x.Spec.Torrent.Info.Length {
			t.Errorf("%d of %d bytes", have, wanted)
		}
		if min(x.Spec.UpRate, x.Spec.DownRate, int64(x.From.Totals.Seeding)) < 0 || len(x.From.Claim.Files) != len(x.Spec.Torrent.Info.Files) {
			t.Errorf("%+v", x)
		}
	})
}
