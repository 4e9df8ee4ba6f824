package importer

import (
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/storage"
)

// backups are the possible places of the folder with the resume data of qBittorrent, relative to the
// folder that a user may name: its data folder, or the profile that contains it.
var backups = []string{".", "BT_backup", "data/BT_backup", "qBittorrent/data/BT_backup", "qBittorrent/BT_backup"}

// ErrDatabase is returned for a session that qBittorrent (since 4.4) keeps in an SQLite database.
var ErrDatabase = errors.New("qBittorrent keeps its session in the SQLite database torrents.db, which seedbed does not read")

// QBittorrent reads the data folder of qBittorrent 4 and 5: BT_backup/HASH.fastresume with the
// resume data of libtorrent, HASH.torrent, and the file queue. The categories are in the
// configuration folder.
func QBittorrent(dir string) (s Session, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return s, err
	}
	folder := ""
	for _, name := range backups {
		at := filepath.Join(dir, name)
		if _, err := os.Stat(filepath.Join(at, "..", "torrents.db")); err == nil && filepath.Base(at) == "BT_backup" {
			// qBittorrent deletes it when it goes back to files. Files beside it are from before.
			return s, ErrDatabase
		}
		if list, err := names(at, ".fastresume"); err == nil && len(list) > 0 || filepath.Base(at) == "BT_backup" && isFolder(at) {
			folder = at
			break
		}
	}
	if folder == "" {
		if _, err := os.Stat(filepath.Join(dir, "torrents.db")); err == nil {
			return s, ErrDatabase
		}
		return s, os.ErrNotExist
	}
	places := map[string]int64{}
	if b, err := statefile.ReadMax(filepath.Join(folder, "queue"), maxResume); err == nil {
		for _, line := range strings.Fields(string(b)) {
			places[strings.ToLower(line)] = int64(len(places)) - maxQueue
		}
	}
	list, err := names(folder, ".fastresume")
	if err != nil {
		return s, err
	}
	for _, name := range list {
		t, err := qbittorrentTorrent(folder, name)
		if err != nil {
			s.Failed = append(s.Failed, fmt.Errorf("%s: %w", name, err))
			continue
		}
		t.place = places[strings.ToLower(name)] // 0, and so after all others, if it is not in the queue
		s.Torrents = append(s.Torrents, *t)
	}
	s.sort()
	data := folder
	if filepath.Base(folder) == "BT_backup" {
		data = filepath.Dir(folder)
	}
	if s.Categories, err = qbittorrentCategories(data); err != nil {
		s.Failed = append(s.Failed, err)
	}
	return s, nil
}

// maxQueue is more than the number of torrents in any queue.
const maxQueue = 1 << 40

func isFolder(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.IsDir()
}

// qbittorrentTorrent reads one torrent.
func qbittorrentTorrent(folder, name string) (*Torrent, error) {
	v, written, err := readDict(filepath.Join(folder, name+".fastresume"))
	if err != nil {
		return nil, err
	}
	t := &Torrent{Spec: node.Spec{Persistent: true}}
	s := &t.Spec
	s.Torrent, s.Link, err = readTorrent(filepath.Join(folder, name+".torrent"))
	if errors.Is(err, os.ErrNotExist) { // the metadata is not known yet
		s.Link, err = libtorrentLink(v)
	}
	if err != nil {
		return nil, err
	}
	return t, t.fastresume(v, written)
}

// libtorrentLink returns a link with the infohashes in resume data.
func libtorrentLink(v bencode.Value) (*magnet.Link, error) {
	if h := text(v, "info-hash"); len(h) == id.Len && strings.Trim(h, "\x00") != "" {
		return magnet.ParseBare(hex.EncodeToString([]byte(h)))
	}
	if h := text(v, "info-hash2"); len(h) == 32 && strings.Trim(h, "\x00") != "" {
		return magnet.Parse("magnet:?xt=urn:btmh:1220" + hex.EncodeToString([]byte(h)))
	}
	return nil, errors.New("the resume data has no infohash")
}

// incompleteSuffix is the suffix of incomplete files, if that option of qBittorrent is on.
const incompleteSuffix = ".!qB"

// fastresume takes over the resume data of a torrent.
func (t *Torrent) fastresume(v bencode.Value, written time.Time) error {
	s := &t.Spec
	s.Dir = text(v, "save_path")
	if !filepath.IsAbs(s.Dir) {
		return fmt.Errorf("its folder %q is not an absolute path", s.Dir)
	}
	s.Paused = integer(v, "paused") != 0 && integer(v, "auto_managed") == 0
	t.setName(text(v, "qBt-name"))
	s.Category = text(v, "qBt-category")
	for l := range first(v, "qBt-tags").List() {
		if b, ok := l.Bytes(); ok {
			s.Labels = append(s.Labels, string(b))
		}
	}
	s.UpRate, s.DownRate = max(integer(v, "upload_rate_limit"), 0), max(integer(v, "download_rate_limit"), 0)
	s.Goals = qbittorrentGoals(v)
	s.Order = node.Order{Sequential: integer(v, "sequential_download", "qBt-sequential") != 0, FirstLast: integer(v, "qBt-firstLastPiecePriority") != 0}
	seeding := seconds(v, "finished_time")
	t.From.Totals = node.Totals{
		Uploaded: integer(v, "total_uploaded"), Downloaded: integer(v, "total_downloaded"),
		Downloading: max(seconds(v, "active_time")-seeding, 0), Seeding: seeding,
		Added: date(v, "added_time"), Completed: date(v, "completed_time"), Active: date(v, "last_upload"),
	}
	if at := date(v, "last_download"); at.After(t.From.Totals.Active) {
		t.From.Totals.Active = at
	}
	if s.Torrent == nil {
		return nil
	}
	info := s.Torrent.Info
	for u := range first(v, "url-list").List() {
		if b, ok := u.Bytes(); ok && len(s.Torrent.WebSeeds) < maxMirrors {
			s.Torrent.WebSeeds = append(s.Torrent.WebSeeds, string(b))
		}
	}
	unwanted := make([]bool, len(info.Files))
	i := 0
	for x := range first(v, "file_priority").List() {
		if n, ok := x.Int(); ok && i < len(unwanted) {
			unwanted[i] = n == 0
		}
		i++
	}
	s.Select = selection(info, func(i int) bool { return unwanted[i] })
	s.Priorities = priorities(info, first(v, "file_priority"), map[int64]node.Priority{6: node.PriorityHigh, 7: node.PriorityMaximum})
	t.From.Claim = libtorrentClaim(info, v, written)
	if to := text(v, "qBt-savePath"); filepath.IsAbs(to) && filepath.Clean(to) != filepath.Clean(s.Dir) {
		s.FinalDir = to
	}
	return nil
}

// maxMirrors limits the number of web seeds that are taken over.
const maxMirrors = 16

// qbittorrentGoals returns the share limits: -2 means those of the settings, and -1 none.
func qbittorrentGoals(v bencode.Value) (g node.Goals) {
	ratio := float64(integer(v, "qBt-ratioLimit")) / 1000
	switch x := first(v, "qBt-ratioLimit"); {
	case x == nil:
		ratio = -2
	case x.Kind() == bencode.String: // before version 4.2
		ratio, _ = strconv.ParseFloat(text(v, "qBt-ratioLimit"), 64)
	}
	switch {
	case ratio > 0 && ratio < 1e9:
		g.Ratio = ratio
	case ratio == -1:
		g.Ratio = -1
	}
	minutes := func(key string) time.Duration {
		switch n := integer(v, key); {
		case n > 0:
			return time.Duration(min(n, 1<<30)) * time.Minute
		case n == -1:
			return -1
		}
		return 0
	}
	g.Time, g.Idle = minutes("qBt-seedingTimeLimit"), minutes("qBt-inactiveSeedingTimeLimit")
	return g
}

// libtorrentClaim returns what the resume data of libtorrent says about the files. "pieces" has one
// byte for each piece, in which bit 0 means that the piece is verified.
func libtorrentClaim(info *metainfo.Info, v bencode.Value, written time.Time) *storage.Claim {
	c := newClaim(info, written)
	c.Suffix, c.Parts = incompleteSuffix, "."+info.Hash.String()+".parts"
	have, _ := first(v, "pieces").Bytes()
	for p := range min(len(have), info.NumPieces()) {
		if have[p]&1 != 0 {
			c.Pieces.Add(p)
		}
	}
	i := 0
	for x := range first(v, "mapped_files").List() {
		if b, ok := x.Bytes(); ok && i < len(c.Files) {
			c.Files[i].Name = strings.TrimSuffix(string(b), incompleteSuffix)
		}
		i++
	}
	return c
}
