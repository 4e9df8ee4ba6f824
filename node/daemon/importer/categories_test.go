package importer

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// categories5 is what qBittorrent 5 saves of its categories.
const categories5 = `{
    "films": {
        "download_path": "/data/new",
        "inactive_seeding_time_limit": -2,
        "ratio_limit": -2,
        "save_path": "/data/films/",
        "seeding_time_limit": -2,
        "share_limit_action": "Default"
    },
    "films/short": {
        "download_path": null,
        "save_path": ""
    },
    "a": {
        "download_path": false,
        "save_path": "relative"
    }
}
`

// The categories are in the configuration folder of qBittorrent, which is not where the torrents are.
func TestQBittorrentCategories(t *testing.T) {
	for data, config := range map[string]string{
		"profile/qBittorrent/data":                     "profile/qBittorrent/config",
		"container/qBittorrent":                        "container/qBittorrent",
		"home/.local/share/qBittorrent":                "home/.config/qBittorrent",
		"home/.local/share/qBittorrent_second":         "home/.config/qBittorrent_second",
		"home/.local/share/data/qBittorrent":           "home/.config/qBittorrent",
		"home/Library/Application Support/qBittorrent": "home/.config/qBittorrent",
		"Users/someone/AppData/Local/qBittorrent":      "Users/someone/AppData/Roaming/qBittorrent",
	} {
		t.Run(data, func(t *testing.T) {
			r := newRig(t)
			r.write(data+"/BT_backup/a.fastresume", encode(nil, fastresume5()))
			r.write(config+"/categories.json", []byte(categories5))
			t.Chdir(filepath.Join(r.dir, data, "BT_backup"))
			for _, dir := range []string{filepath.Join(r.dir, data), filepath.Join(r.dir, data, "BT_backup"), "."} {
				s, err := QBittorrent(dir)
				if err != nil || len(s.Failed) > 0 || len(s.Torrents) != 1 {
					t.Fatal(s, err)
				}
				r.equal("categories", s.Categories, []Category{{"a", ""}, {"films", "/data/films"}, {"films/short", ""}})
			}
		})
	}
}

// A session without categories is complete. Damaged ones are reported, and the torrents are
// imported.
func TestQBittorrentDamagedCategories(t *testing.T) {
	r := newRig(t)
	r.write("BT_backup/a.fastresume", encode(nil, fastresume5()))
	if s, err := QBittorrent(r.dir); err != nil || len(s.Failed) > 0 || len(s.Categories) > 0 {
		t.Error(s, err)
	}
	for _, text := range []string{"", "{", "[]", `{"a": "/data"}`, `{"a": {"save_path": 1}}`, `{"a": {"save_path": "` + strings.Repeat("x", maxCategories) + `"}}`} {
		r.write("categories.json", []byte(text))
		if s, err := QBittorrent(r.dir); err != nil || len(s.Failed) != 1 || len(s.Torrents) != 1 || len(s.Categories) > 0 {
			t.Errorf("%.20q: %+v, %v", text, s, err)
		}
	}
	r.write("categories.json", []byte("{}"))
	if s, err := QBittorrent(r.dir); err != nil || len(s.Failed) > 0 || len(s.Categories) > 0 {
		t.Error(s, err)
	}
}

// While the session is in a database, files beside it are from before, wherever the user is.
func TestQBittorrentDatabase(t *testing.T) {
	r := newRig(t)
	r.write("torrents.db", nil)
	if _, err := QBittorrent(r.dir); err != ErrDatabase {
		t.Error("without files:", err)
	}
	r.write("BT_backup/a.fastresume", encode(nil, fastresume5()))
	t.Chdir(filepath.Join(r.dir, "BT_backup"))
	for _, dir := range []string{r.dir, ".", ".."} {
		if _, err := QBittorrent(dir); err != ErrDatabase {
			t.Errorf("%s: %v", dir, err)
		}
	}
	if err := os.Remove(filepath.Join(r.dir, "torrents.db")); err != nil {
		t.Fatal(err)
	}
	if s, err := QBittorrent("."); err != nil || len(s.Torrents) != 1 {
		t.Error(s, err)
	}
}
