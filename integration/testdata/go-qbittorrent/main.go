// Command go-qbittorrent does a job with github.com/autobrr/go-qbittorrent and prints what each
// step answers. It is a module of its own, so that seedbed does not depend on the client.
package main

import (
	"encoding/json"
	"log"
	"os"
	"strings"
	"time"

	"github.com/autobrr/go-qbittorrent"
)

type job struct {
	URL      string `json:"url"`
	Password string `json:"password"`
	Torrent  string `json:"torrent"`
	Hash     string `json:"hash"`
	From     string `json:"from"`
	To       string `json:"to"`
}

func main() {
	var j job
	check(json.Unmarshal([]byte(os.Args[1]), &j))
	c := qbittorrent.NewClient(qbittorrent.Config{Host: j.URL, Username: "admin", Password: j.Password})
	out := json.NewEncoder(os.Stdout)
	say := func(step string, answer any, err error) {
		check(err)
		check(out.Encode(map[string]any{"step": step, "answer": answer}))
	}
	// until polls, because the WebAPI has no events.
	until := func(ok func(*qbittorrent.Torrent) bool) any {
		for {
			list, err := c.GetTorrents(qbittorrent.TorrentFilterOptions{Hashes: []string{j.Hash}})
			check(err)
			if len(list) == 1 && ok(&list[0]) {
				return list[0]
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	one := []string{j.Hash}
	isStopped := func(x *qbittorrent.Torrent) bool {
		return strings.HasPrefix(string(x.State), "stopped") || strings.HasPrefix(string(x.State), "paused")
	}

	check(c.Login())
	o := qbittorrent.TorrentAddOptions{Stopped: true, SavePath: j.From, Category: "tv", Tags: "a,b", LimitRatio: 2, LimitSeedTime: 60}
	say("add", "", c.AddTorrentFromFile(j.Torrent, o.Prepare()))
	say("list", until(isStopped), nil)
	p, err := c.GetTorrentProperties(j.Hash)
	say("properties", p, err)
	trackers, err := c.GetTorrentTrackers(j.Hash)
	say("trackers", trackers, err)
	say("start", "", c.Start(one))
	say("seeding", until(func(x *qbittorrent.Torrent) bool { return x.State == "stalledUP" }), nil)
	files, err := c.GetFilesInformation(j.Hash)
	say("files", files, err)
	hashes, err := c.GetTorrentPieceHashes(j.Hash)
	say("hashes", hashes, err)
	say("pause", "", c.Stop(one))
	say("paused", until(isStopped), nil)
	say("limit", "", c.SetTorrentDownloadLimit(one, 4096))
	say("goals", "", c.SetTorrentShareLimit(one, 1.5, 90, -2))
	say("limited", until(func(x *qbittorrent.Torrent) bool { return x.DlLimit == 4096 && x.SeedingTimeLimit == 90 }), nil)
	say("priority", "", c.SetFilePriority(j.Hash, "1", 6))
	say("maximum", "", c.SetFilePriority(j.Hash, "0", 7))
	prioritized, err := c.GetFilesInformation(j.Hash)
	say("prioritized", prioritized, err)
	// untilNamed polls until a file has a name, and returns the files.
	untilNamed := func(name string) any {
		for {
			files, err := c.GetFilesInformation(j.Hash)
			check(err)
			for _, f := range *files {
				if f.Name == name {
					return files
				}
			}
			time.Sleep(50 * time.Millisecond)
		}
	}
	say("rename", "", c.SetTorrentName(j.Hash, "mine"))
	say("named", until(func(x *qbittorrent.Torrent) bool { return x.Name == "mine" }), nil)
	say("rename a file", "", c.RenameFile(j.Hash, "film/film.mkv", "film/movie.mkv"))
	say("named file", untilNamed("film/movie.mkv"), nil)
	say("rename a folder", "", c.RenameFolder(j.Hash, "film/extra", "film/more"))
	say("named folder", untilNamed("film/more/film.srt"), nil)
	say("sequential", "", c.ToggleTorrentSequentialDownload(one))
	say("ends", "", c.ToggleFirstLastPiecePrio(one))
	say("ordered", until(func(x *qbittorrent.Torrent) bool { return x.SequentialDownload && x.FirstLastPiecePrio }), nil)
	say("not sequential", "", c.ToggleTorrentSequentialDownload(one))
	say("unordered", until(func(x *qbittorrent.Torrent) bool { return !x.SequentialDownload }), nil)
	say("tag", "", c.AddTags(one, "c"))
	say("untag", "", c.RemoveTags(one, "a"))
	say("create", "", c.CreateCategory("film", j.To))
	say("label", "", c.SetCategory(one, "film"))
	say("labelled", until(func(x *qbittorrent.Torrent) bool { return x.Category == "film" && x.Tags == "b, c" }), nil)
	categories, err := c.GetCategories()
	say("categories", categories, err)
	say("move", "", c.SetLocation(one, j.To))
	say("moved", until(func(x *qbittorrent.Torrent) bool { return x.SavePath == j.To && x.State != "moving" }), nil)
	say("reannounce", "", c.ReAnnounceTorrents(one))
	say("remove", "", c.DeleteTorrents(one, false))
	for {
		list, err := c.GetTorrents(qbittorrent.TorrentFilterOptions{})
		check(err)
		if len(list) == 0 {
			break
		}
		time.Sleep(50 * time.Millisecond)
	}
}

func check(err error) {
	if err != nil {
		log.Fatal(err)
	}
}
