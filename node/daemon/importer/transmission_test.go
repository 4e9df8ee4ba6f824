package importer

import (
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"seedbed/internal/bencode"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

type dict = map[string]any

// encode returns the bencoding of integers, strings, lists and dictionaries.
func encode(dst []byte, v any) []byte {
	switch v := v.(type) {
	case int:
		return bencode.AppendInt(dst, int64(v))
	case string:
		return bencode.AppendString(dst, v)
	case []any:
		dst = append(dst, 'l')
		for _, x := range v {
			dst = encode(dst, x)
		}
		return append(dst, 'e')
	case dict:
		dst = append(dst, 'd')
		for _, k := range slices.Sorted(maps.Keys(v)) {
			dst = encode(bencode.AppendString(dst, k), v[k])
		}
		return append(dst, 'e')
	}
	panic("no such value")
}

// torrentFile returns a torrent with three files: of 100, 40 and 60 KiB, in pieces of 32 KiB.
func torrentFile(t testing.TB) *metainfo.Torrent {
	t.Helper()
	info, err := metainfo.Build(metainfo.Plan{Name: "T", PieceLength: 32 << 10, Files: []metainfo.PlanFile{
		{Path: []string{"a"}, Length: 100 << 10}, {Path: []string{"sub", "b"}, Length: 40 << 10}, {Path: []string{"c"}, Length: 60 << 10},
	}}, make([]byte, 7*20))
	if err != nil {
		t.Fatal(err)
	}
	return &metainfo.Torrent{Info: info}
}

// rig is the folder of another client.
type rig struct {
	*testing.T
	dir string
	at  time.Time // of its files
}

func newRig(t *testing.T) *rig { return &rig{t, t.TempDir(), time.Unix(1790000000, 0)} }

func (r *rig) write(name string, b []byte) {
	r.Helper()
	path := filepath.Join(r.dir, filepath.FromSlash(name))
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		r.Fatal(err)
	}
	if err := os.WriteFile(path, b, 0o644); err != nil {
		r.Fatal(err)
	}
	if err := os.Chtimes(path, r.at, r.at); err != nil {
		r.Fatal(err)
	}
}

// only returns the only torrent of a session.
func (r *rig) only(s Session, err error) *Torrent {
	r.Helper()
	if err != nil || len(s.Failed) > 0 || len(s.Torrents) != 1 {
		r.Fatalf("%d torrents, failed: %v, %v", len(s.Torrents), s.Failed, err)
	}
	return &s.Torrents[0]
}

func (r *rig) equal(what string, got, want any) {
	r.Helper()
	if d := cmp.Diff(want, got); d != "" {
		r.Errorf("%s (-want +got):\n%s", what, d)
	}
}

// resume300 is what Transmission 3.00 saves of a torrent.
func resume300() dict {
	return dict{
		"activity-date": 1780000300, "added-date": 1780000000, "bandwidth-priority": 0, "corrupt": 7, "destination": "/data",
		"dnd": []any{0, 1, 0}, "done-date": 1780000200, "downloaded": 1000, "downloading-time-seconds": 60,
		"idle-limit": dict{"idle-limit": 30, "idle-mode": 0}, "labels": []any{"film", "hd"}, "max-peers": 50, "name": "T", "paused": 1,
		"files":       []any{"", "T/sub/other", ""},
		"priority":    []any{0, 0, 1},
		"progress":    dict{"blocks": "\xff\x98", "time-checked": []any{1780000100, 0, []any{1780000000, 0, 5}}},
		"ratio-limit": dict{"ratio-limit": "2.500000", "ratio-mode": 1}, "seeding-time-seconds": 90,
		"speed-limit-down": dict{"speed-Bps": 100000, "use-global-speed-limit": 1, "use-speed-limit": 0},
		"speed-limit-up":   dict{"speed-Bps": 50000, "use-global-speed-limit": 1, "use-speed-limit": 1},
		"uploaded":         2000,
	}
}

func TestTransmission300(t *testing.T) {
	r := newRig(t)
	tor := torrentFile(t)
	r.write("torrents/T."+tor.Info.Hash.String()[:16]+".torrent", tor.Append(nil))
	r.write("resume/T."+tor.Info.Hash.String()[:16]+".resume", encode(nil, resume300()))
	x := r.only(Transmission(r.dir))
	r.equal("totals", x.From.Totals, node.Totals{Uploaded: 2000, Downloaded: 1000, Wasted: 7, Downloading: time.Minute, Seeding: 90 * time.Second,
		Added: time.Unix(1780000000, 0).UTC(), Completed: time.Unix(1780000200, 0).UTC(), Active: time.Unix(1780000300, 0).UTC()})
	r.equal("folder", x.Spec.Dir, "/data")
	r.equal("labels", x.Spec.Labels, []string{"film", "hd"})
	r.equal("selection", x.Spec.Select, []int{1, 3})
	r.equal("paused", x.Spec.Paused, true)
	r.equal("limits", []int64{x.Spec.UpRate, x.Spec.DownRate}, []int64{50000, 0})
	r.equal("goals", x.Spec.Goals, node.Goals{Ratio: 2.5})
	r.equal("priorities", x.Spec.Priorities, node.Priorities{High: []int{3}})
	r.equal("order", x.Spec.Order, node.Order{})
	c := x.From.Claim
	// Of 13 blocks in 7 pieces, 9 and 10 are missing.
	r.equal("pieces", slices.Collect(c.Pieces.All()), []int{0, 1, 2, 3, 6})
	r.equal("suffix", c.Suffix, ".part")
	r.equal("names", []string{c.Files[0].Name, c.Files[1].Name, c.Files[2].Name}, []string{"", "T/sub/other", ""})
	r.equal("times", []int64{c.Files[0].Until, c.Files[1].Until, c.Files[2].Until}, []int64{1790000000, 1790000000, 1790000000})
	wanted, have := x.Sizes()
	r.equal("sizes", []int64{wanted, have}, []int64{160 << 10, 108 << 10})
}

// resume4 is what Transmission 4 saves of a torrent, with the names of keys of version 4.0 or
// those of later ones.
func resume4(snake bool) dict {
	key := func(s string) string {
		if snake {
			return strings.ReplaceAll(s, "-", "_")
		}
		return s
	}
	queue, sequential, from := "queuePosition", "sequentialDownload", "FromPiece"
	if snake {
		queue, sequential, from = "queue_position", "sequential_download", "_from_piece"
	}
	return dict{
		key("activity-date"): 1780000300, key("added-date"): 1780000000, "destination": "/data", key("incomplete-dir"): "/nosuch", "dnd": []any{0, 0, 0},
		key("done-date"): 0, "downloaded": 1000, key("downloading-time-seconds"): 60, "corrupt": 0,
		"files": []any{"T/a", "T/sub/b", "T/c"}, "group": "", key("idle-limit"): dict{key("idle-limit"): 20, key("idle-mode"): 1},
		"labels": []any{}, "name": "T", "paused": 0, "peers2": "", "priority": []any{-1, 0, 5},
		sequential: 1, sequential + from: 4,
		"progress":            dict{"blocks": "\xff\xff\xf0", "mtimes": []any{1780000100, 0, 0}, "pieces": "\xf4"},
		key("ratio-limit"):    dict{key("ratio-limit"): "2.000000", key("ratio-mode"): 2},
		key("speed-limit-up"): dict{"speed-Bps": 1, key("use-global-speed-limit"): 1, key("use-speed-limit"): 0},
		"uploaded":            0, queue: 3, key("seeding-time-seconds"): 0,
	}
}

func TestTransmission4(t *testing.T) {
	for _, snake := range []bool{false, true} {
		r := newRig(t)
		tor := torrentFile(t)
		r.write("torrents/"+tor.Info.Hash.String()+".torrent", tor.Append(nil))
		r.write("resume/"+tor.Info.Hash.String()+".resume", encode(nil, resume4(snake)))
		x := r.only(Transmission(r.dir))
		r.equal("priorities", x.Spec.Priorities, node.Priorities{Low: []int{1}})
		r.equal("order", x.Spec.Order, node.Order{Sequential: true, From: 4})
		r.equal("goals", x.Spec.Goals, node.Goals{Ratio: -1, Idle: 20 * time.Minute})
		r.equal("selection", x.Spec.Select, []int(nil))
		r.equal("place", x.place, int64(3))
		r.equal("added", x.From.Totals.Added.Unix(), int64(1780000000))
		// All blocks but the last, of pieces that were checked: 0 to 3 and 5.
		r.equal("pieces", slices.Collect(x.From.Claim.Pieces.All()), []int{0, 1, 2, 3, 5})
		r.equal("time of a complete file", x.From.Claim.Files[0].Until, int64(1780000102))
		r.equal("time of another file", x.From.Claim.Files[1].Until, r.at.Unix())
	}
}

// A torrent whose metadata is not known yet is imported as a link.
func TestTransmissionMagnets(t *testing.T) {
	const hash = "c9e15763f722f23e98a29decdfae341b98d53056"
	for name, content := range map[string]string{
		hash + ".magnet":                "magnet:?xt=urn:btih:" + hash + "&dn=film\n",
		"film.c9e15763f722f23e.torrent": string(encode(nil, dict{"magnet-info": dict{"info_hash": "\xc9\xe1\x57\x63\xf7\x22\xf2\x3e\x98\xa2\x9d\xec\xdf\xae\x34\x1b\x98\xd5\x30\x56"}})),
	} {
		r := newRig(t)
		r.write("torrents/"+name, []byte(content))
		r.write("resume/"+strings.TrimSuffix(name, filepath.Ext(name))+".resume", encode(nil, dict{"destination": "/data", "paused": 1}))
		x := r.only(Transmission(r.dir))
		if x.Spec.InfoHash().String() != hash || x.Spec.Dir != "/data" || !x.Spec.Paused || x.From.Claim != nil {
			t.Errorf("%s: %+v", name, x)
		}
	}
}

// A torrent without resume data goes into the default folder, and nothing is known about its data.
// One with damaged data is reported, and the others are imported.
func TestTransmissionDamage(t *testing.T) {
	r := newRig(t)
	tor := torrentFile(t)
	r.write("settings.json", []byte(`{"download-dir": "/downloads"}`))
	r.write("torrents/good.torrent", tor.Append(nil))
	r.write("torrents/bad.torrent", []byte("d4:infodee"))
	r.write("torrents/worse.torrent", tor.Append(nil))
	r.write("resume/worse.resume", []byte("d4:dndl"))
	s, err := Transmission(r.dir)
	if err != nil || len(s.Torrents) != 1 || len(s.Failed) != 2 {
		t.Fatalf("%d torrents, failed: %v, %v", len(s.Torrents), s.Failed, err)
	}
	if x := s.Torrents[0]; x.Spec.Dir != "/downloads" || x.From.Claim != nil {
		t.Errorf("%+v", x)
	}
	for i, want := range []string{"bad: ", "worse: "} {
		if !strings.HasPrefix(s.Failed[i].Error(), want) {
			t.Error(s.Failed[i])
		}
	}
	if _, err := Transmission(t.TempDir()); !os.IsNotExist(err) {
		t.Error(err)
	}
}

// The data of an incomplete torrent may be in another folder.
func TestTransmissionIncompleteFolder(t *testing.T) {
	r := newRig(t)
	tor := torrentFile(t)
	v := resume4(true)
	v["destination"], v["incomplete_dir"] = filepath.Join(r.dir, "done"), filepath.Join(r.dir, "new")
	r.write("torrents/x.torrent", tor.Append(nil))
	r.write("resume/x.resume", encode(nil, v))
	r.write("new/T/c.part", nil)
	x := r.only(Transmission(r.dir))
	r.equal("folders", []string{x.Spec.Dir, x.Spec.FinalDir}, []string{filepath.Join(r.dir, "new"), filepath.Join(r.dir, "done")})
	r.write("done/T/a", nil)
	x = r.only(Transmission(r.dir))
	r.equal("folders", []string{x.Spec.Dir, x.Spec.FinalDir}, []string{filepath.Join(r.dir, "done"), ""})
}

// FuzzTransmission reads hostile resume data.
func FuzzTransmission(f *testing.F) {
	f.Add(encode(nil, resume300()))
	f.Add(encode(nil, resume4(false)))
	f.Add(encode(nil, resume4(true)))
	tor := torrentFile(f)
	f.Fuzz(func(t *testing.T, b []byte) {
		v, _, err := bencode.Parse(b, limits)
		if err != nil {
			return
		}
		x := Torrent{Spec: node.Spec{Torrent: tor, Dir: "/data"}}
		if err := x.transmissionResume(v, time.Unix(1790000000, 0)); err != nil {
			return
		}
		if wanted, have := x.Sizes(); have < 0 || have > wanted || wanted > tor.Info.Length {
			t.Errorf("%d of %d bytes", have, wanted)
		}
		if min(x.Spec.UpRate, x.Spec.DownRate, int64(x.From.Totals.Seeding)) < 0 || len(x.From.Claim.Files) != len(tor.Info.Files) {
			t.Errorf("%+v", x)
		}
	})
}
