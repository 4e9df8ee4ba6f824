package importer

import (
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"seedbed/internal/bencode"
	"seedbed/internal/bitset"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/storage"
)

// Transmission reads the configuration folder of Transmission 3.00 and 4: torrents/NAME.torrent or
// NAME.magnet, and resume/NAME.resume. NAME is the infohash, or the name of the torrent, a dot and
// the first half of the infohash. The keys in the resume data are in kebab-case, later ones in
// snake_case.
func Transmission(dir string) (s Session, err error) {
	var settings struct {
		DownloadDir string `json:"download-dir"`
		Newer       string `json:"download_dir"`
	}
	if b, err := statefile.ReadMax(filepath.Join(dir, "settings.json"), maxSettings); err == nil {
		_ = json.Unmarshal(b, &settings) // it only has the default folder
	}
	if settings.DownloadDir == "" {
		settings.DownloadDir = settings.Newer
	}
	folder := filepath.Join(dir, "torrents")
	if _, err := os.Stat(folder); err != nil {
		return s, err
	}
	for _, suffix := range []string{".torrent", ".magnet"} {
		list, err := names(folder, suffix)
		if err != nil {
			return s, err
		}
		for _, name := range list {
			t, err := transmissionTorrent(dir, name, suffix, settings.DownloadDir)
			if err != nil {
				s.Failed = append(s.Failed, fmt.Errorf("%s: %w", name, err))
				continue
			}
			s.Torrents = append(s.Torrents, *t)
		}
	}
	s.sort()
	return s, nil
}

// maxSettings limits the size of the settings of another client, in bytes.
const maxSettings = 1 << 20

// transmissionTorrent reads one torrent.
func transmissionTorrent(dir, name, suffix, defaultDir string) (*Torrent, error) {
	t := &Torrent{Spec: node.Spec{Persistent: true, Dir: defaultDir}}
	path := filepath.Join(dir, "torrents", name+suffix)
	var err error
	if suffix == ".magnet" {
		t.Spec.Link, err = readMagnet(path)
	} else if t.Spec.Link, err = placeholder(path); err == nil && t.Spec.Link == nil {
		t.Spec.Torrent, t.Spec.Link, err = readTorrent(path)
	}
	if err != nil {
		return nil, err
	}
	v, written, err := readResume(dir, name, t)
	switch {
	case errors.Is(err, os.ErrNotExist) && defaultDir != "":
		return t, nil
	case err != nil:
		return nil, err
	}
	if err := t.transmissionResume(v, written); err != nil {
		return nil, err
	}
	return t, nil
}

// maxMagnet limits the length of a link in a file, in bytes.
const maxMagnet = 256 << 10

func readMagnet(path string) (*magnet.Link, error) {
	b, err := statefile.ReadMax(path, maxMagnet)
	if err != nil {
		return nil, err
	}
	return magnet.Parse(strings.TrimSpace(string(b)))
}

// placeholder returns the link of a torrent whose metadata Transmission 3.00 did not have yet, and
// nil for any other .torrent file.
func placeholder(path string) (*magnet.Link, error) {
	b, err := statefile.ReadMax(path, metainfo.MaxTorrent)
	if err != nil {
		return nil, err
	}
	v, _, err := bencode.Parse(b, limits)
	if err != nil {
		return nil, nil // reading the torrent reports why
	}
	hash := text(v.Get("magnet-info"), "info_hash", "info-hash")
	if hash == "" {
		return nil, nil
	}
	return magnet.ParseBare(hex.EncodeToString([]byte(hash)))
}

// readResume reads the resume data of a torrent. The error is os.ErrNotExist if there is none.
func readResume(dir, name string, t *Torrent) (bencode.Value, time.Time, error) {
	hash := t.Spec.InfoHash().String()
	for _, base := range []string{name, hash, t.Spec.Name() + "." + hash[:16]} {
		if filepath.Base(base) != base {
			continue
		}
		v, written, err := readDict(filepath.Join(dir, "resume", base+".resume"))
		if err == nil || !errors.Is(err, os.ErrNotExist) {
			return v, written, err
		}
	}
	return nil, time.Time{}, os.ErrNotExist
}

// transmissionResume takes over the resume data of a torrent.
func (t *Torrent) transmissionResume(v bencode.Value, written time.Time) error {
	s, y := &t.Spec, &t.From.Totals
	if to := text(v, "destination"); to != "" {
		s.Dir = to
	}
	if !filepath.IsAbs(s.Dir) {
		return fmt.Errorf("its folder %q is not an absolute path", s.Dir)
	}
	s.Paused = integer(v, "paused") != 0
	for l := range first(v, "labels").List() {
		if b, ok := l.Bytes(); ok {
			s.Labels = append(s.Labels, string(b))
		}
	}
	s.UpRate, s.DownRate = transmissionLimit(first(v, "speed-limit-up", "speed_limit_up")), transmissionLimit(first(v, "speed-limit-down", "speed_limit_down"))
	s.Goals = transmissionGoals(v)
	*y = node.Totals{
		Uploaded: integer(v, "uploaded"), Downloaded: integer(v, "downloaded"), Wasted: integer(v, "corrupt"),
		Downloading: seconds(v, "downloading-time-seconds", "downloading_time_seconds"),
		Seeding:     seconds(v, "seeding-time-seconds", "seeding_time_seconds"),
		Added:       date(v, "added-date", "added_date"), Completed: date(v, "done-date", "done_date"), Active: date(v, "activity-date", "activity_date"),
	}
	t.setName(text(v, "name"))
	t.place = integer(v, "queuePosition", "queue_position", "queue-position")
	s.Order = node.Order{Sequential: integer(v, "sequential_download", "sequentialDownload") != 0,
		From: int(min(max(integer(v, "sequential_download_from_piece", "sequentialDownloadFromPiece"), 0), math.MaxInt32))}
	if s.Torrent == nil {
		return nil
	}
	info := s.Torrent.Info
	s.Priorities = priorities(info, first(v, "priority"), map[int64]node.Priority{-1: node.PriorityLow, 1: node.PriorityHigh})
	dnd := flags(first(v, "dnd"), len(info.Files))
	s.Select = selection(info, func(i int) bool { return dnd != nil && dnd[i] })
	t.From.Claim = transmissionClaim(info, v, written)
	if from := text(v, "incomplete-dir", "incomplete_dir"); filepath.IsAbs(from) && hasData(from, info, t.From.Claim) && !hasData(s.Dir, info, t.From.Claim) {
		s.Dir, s.FinalDir = from, s.Dir
	}
	return nil
}

// transmissionLimit returns a limit in bytes a second, or 0.
func transmissionLimit(v bencode.Value) int64 {
	if integer(v, "use-speed-limit", "use_speed_limit") == 0 {
		return 0
	}
	return max(integer(v, "speed-Bps", "speed_Bps", "speed_bytes"), 1) // 0 means that nothing is transferred
}

// The modes of the limits of ratio and idle time.
const (
	ownLimit = 1
	noLimit  = 2
)

func transmissionGoals(v bencode.Value) (g node.Goals) {
	ratio, idle := first(v, "ratio-limit", "ratio_limit"), first(v, "idle-limit", "idle_limit")
	switch integer(ratio, "ratio-mode", "ratio_mode") {
	case ownLimit:
		// Real numbers are strings in bencode.
		if r, err := strconv.ParseFloat(text(ratio, "ratio-limit", "ratio_limit"), 64); err == nil && r > 0 && r < 1e9 {
			g.Ratio = r
		}
	case noLimit:
		g.Ratio = -1
	}
	switch integer(idle, "idle-mode", "idle_mode") {
	case ownLimit:
		g.Idle = time.Duration(min(max(integer(idle, "idle-limit", "idle_limit"), 0), 1<<30)) * time.Minute
	case noLimit:
		g.Idle = -1
	}
	return g
}

// flags returns a list of n truth values, or nil.
func flags(v bencode.Value, n int) []bool {
	if v.Len() != n || v.Kind() != bencode.List {
		return nil
	}
	out := make([]bool, 0, n)
	for x := range v.List() {
		is, _ := x.Int()
		out = append(out, is != 0)
	}
	return out
}

// transmissionClaim returns what the resume data says about the files.
func transmissionClaim(info *metainfo.Info, v bencode.Value, written time.Time) *storage.Claim {
	c := newClaim(info, written)
	c.Suffix = ".part"
	progress := v.Get("progress")
	if text(progress, "have") == "all" {
		c.Pieces.Fill()
	} else {
		blocks(info, first(progress, "blocks"), c.Pieces)
	}
	if checked := first(progress, "pieces"); checked != nil { // from version 4 on
		set := bitset.New(info.NumPieces())
		bits(checked, set.Len(), func(i int) { set.Add(i) })
		for p := range c.Pieces.All() {
			if !set.Has(p) {
				c.Pieces.Remove(p)
			}
		}
	}
	i := 0
	for x := range first(progress, "mtimes").List() {
		// When a file was complete, in seconds by a clock that may be late, or its time when
		// Transmission started.
		if at, _ := x.Int(); at > 0 && i < len(c.Files) {
			c.Files[i].Until = min(c.Files[i].Until, at+2)
		}
		i++
	}
	i = 0
	for x := range first(v, "files").List() {
		if b, ok := x.Bytes(); ok && i < len(c.Files) {
			c.Files[i].Name = string(b)
		}
		i++
	}
	return c
}

// bits calls add for each of n bits that is set: "all", "none", or a bitfield.
func bits(v bencode.Value, n int, add func(int)) {
	b, _ := v.Bytes()
	switch string(b) {
	case "all":
		for i := range n {
			add(i)
		}
		return
	case "none":
		return
	}
	for i := range min(n, 8*len(b)) {
		if b[i/8]&(0x80>>(i%8)) != 0 {
			add(i)
		}
	}
}

// blocks adds the pieces all of whose blocks are set. Versions disagree on the size of blocks if a
// piece is not a power of two or is not a multiple of 16 KiB: then only "all" counts.
func blocks(info *metainfo.Info, v bencode.Value, pieces bitset.Set) {
	size := int64(metainfo.BlockSize)
	if b, _ := v.Bytes(); string(b) == "all" {
		pieces.Fill()
		return
	} else if info.PieceLength&(info.PieceLength-1) != 0 {
		return
	}
	size = min(size, info.PieceLength)
	n := int((info.Length + size - 1) / size)
	left := make([]int32, info.NumPieces())
	for p := range left {
		left[p] = int32((info.PieceSize(p) + size - 1) / size)
	}
	bits(v, n, func(i int) {
		p := int64(i) * size / info.PieceLength
		if left[p]--; left[p] == 0 {
			pieces.Add(int(p))
		}
	})
}

// hasData reports whether a folder has any of the first files of a claim.
func hasData(dir string, info *metainfo.Info, c *storage.Claim) bool {
	for i := range info.Files[:min(len(info.Files), maxTried)] {
		f := &info.Files[i]
		if !f.IsRegular() {
			continue
		}
		name := filepath.FromSlash(c.Files[i].Name)
		if name == "" {
			name = filepath.FromSlash(info.PathOf(i))
		}
		if !filepath.IsLocal(name) {
			continue
		}
		for _, suffix := range []string{"", c.Suffix} {
			if _, err := os.Lstat(filepath.Join(dir, name) + suffix); err == nil {
				return true
			}
		}
	}
	return false
}

// maxTried is how many files hasData looks for.
const maxTried = 1000
