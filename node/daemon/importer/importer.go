// Package importer reads the sessions of other BitTorrent clients: their torrents, the settings of
// these, and which data they say they have verified.
//
// Transmission and QBittorrent read the folder of a client and write nothing. They return an error
// for each torrent that they cannot read, and continue with the others. No file is trusted: sizes
// are limited, and what a file says about data is a storage.Claim, which proves nothing.
package importer

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"seedbed/internal/bencode"
	"seedbed/internal/bitset"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/storage"
)

// A Torrent is a torrent of another client.
type Torrent struct {
	// Spec says what to add. Its Dir is where the data is.
	Spec node.Spec
	// From is what the other client knows of the data and of earlier runs.
	From node.Takeover

	place int64
}

// A Session is what another client has.
type Session struct {
	Categories []Category // sorted by name
	Torrents   []Torrent  // in the order of the client's queue
	Failed     []error    // one for each torrent, and for the categories, that could not be read
}

// setName sets the name to show, if it is not that of the torrent.
func (t *Torrent) setName(name string) {
	if n := (node.Naming{Name: name}); name != t.Spec.Name() && n.Validate() == nil && name != "" {
		t.Spec.Naming = &n
	}
}

// maxResume limits the size of a file with the resume data of one torrent, in bytes.
const maxResume = 64 << 20

// limits bound the values in such a file.
var limits = bencode.Limits{Depth: 32, Tokens: 8 << 20, StringLen: maxResume, BigInts: true}

// readDict returns the dictionary in a file, and when the file was last written.
func readDict(path string) (v bencode.Value, written time.Time, err error) {
	fi, err := os.Stat(path)
	if err != nil {
		return nil, written, err
	}
	b, err := statefile.ReadMax(path, maxResume)
	if err != nil {
		return nil, written, err
	}
	if v, _, err = bencode.Parse(b, limits); err == nil && v.Kind() != bencode.Dict {
		err = errors.New("it is not a dictionary")
	}
	if err != nil {
		return nil, written, fmt.Errorf("%s is damaged: %w", path, err)
	}
	return v, fi.ModTime(), nil
}

// readTorrent returns the .torrent file at path. If the file lacks the piece layers (BEP 52), which
// peers have, it returns a link instead.
func readTorrent(path string) (*metainfo.Torrent, *magnet.Link, error) {
	b, err := statefile.ReadMax(path, metainfo.MaxTorrent)
	if err != nil {
		return nil, nil, err
	}
	t, err := metainfo.ParseTorrent(b)
	var lacks *metainfo.LayersError
	if errors.As(err, &lacks) {
		l, err := magnet.Parse(node.LinkOf(lacks.Torrent.Info))
		return nil, l, err
	}
	if err != nil {
		return nil, nil, fmt.Errorf("%s is not usable: %w", path, err)
	}
	return t, nil, nil
}

// names returns the names of the files in dir that end in suffix, without the suffix.
func names(dir, suffix string) (list []string, err error) {
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	for _, e := range entries {
		if name := e.Name(); filepath.Ext(name) == suffix && name != suffix {
			list = append(list, name[:len(name)-len(suffix)])
		}
	}
	return list, nil
}

// sort orders the torrents by their places in the queue.
func (s *Session) sort() {
	slices.SortStableFunc(s.Torrents, func(a, b Torrent) int { return cmp.Compare(a.place, b.place) })
}

// integer returns an integer of a dictionary, or 0.
func integer(v bencode.Value, keys ...string) int64 {
	n, _ := first(v, keys...).Int()
	return n
}

// text returns a string of a dictionary, or "".
func text(v bencode.Value, keys ...string) string {
	b, _ := first(v, keys...).Bytes()
	return string(b)
}

// first returns the value of the first of these keys that a dictionary has.
func first(v bencode.Value, keys ...string) bencode.Value {
	for _, k := range keys {
		if x := v.Get(k); x != nil {
			return x
		}
	}
	return nil
}

// date returns a time in Unix seconds, or zero.
func date(v bencode.Value, keys ...string) (t time.Time) {
	if n := integer(v, keys...); n > 0 {
		t = time.Unix(n, 0).UTC()
	}
	return t
}

// seconds returns a duration in seconds. It is at most 100 years.
func seconds(v bencode.Value, keys ...string) time.Duration {
	return time.Duration(min(max(integer(v, keys...), 0), 100*365*86400)) * time.Second
}

// selection returns the numbers of the wanted files, or nil if all are wanted.
func selection(info *metainfo.Info, unwanted func(file int) bool) (numbers []int) {
	all := true
	numbers = []int{}
	for i := range info.Files {
		if info.Files[i].Pad {
			continue
		}
		if unwanted(i) {
			all = false
			continue
		}
		numbers = append(numbers, info.FileNumber(i))
	}
	if all {
		return nil
	}
	return numbers
}

// priorities returns the priorities in a list with a number for each file.
func priorities(info *metainfo.Info, list bencode.Value, of map[int64]node.Priority) (out node.Priorities) {
	byPriority := map[node.Priority][]int{}
	i := 0
	for x := range list.List() {
		if n, ok := x.Int(); ok && i < len(info.Files) && !info.Files[i].Pad && of[n] != node.PriorityNormal {
			byPriority[of[n]] = append(byPriority[of[n]], info.FileNumber(i))
		}
		i++
	}
	return node.Priorities{Low: byPriority[node.PriorityLow], High: byPriority[node.PriorityHigh], Maximum: byPriority[node.PriorityMaximum]}
}

// newClaim returns a claim without pieces, for files that the client has not changed after until.
func newClaim(info *metainfo.Info, until time.Time) *storage.Claim {
	c := &storage.Claim{Pieces: bitset.New(info.NumPieces()), Files: make([]storage.ClaimedFile, len(info.Files))}
	for i := range c.Files {
		c.Files[i].Until = until.Unix()
	}
	return c
}

// Sizes returns the bytes of the wanted files, and those of them that the other client says it has.
// Both are 0 while the metadata is not known.
func (t *Torrent) Sizes() (wanted, have int64) {
	if t.Spec.Torrent == nil {
		return 0, 0
	}
	info := t.Spec.Torrent.Info
	selected := make([]bool, info.Stored()+1)
	for _, n := range t.Spec.Select {
		selected[n] = true
	}
	for i := range info.Files {
		f := &info.Files[i]
		if f.Pad || t.Spec.Select != nil && !selected[info.FileNumber(i)] {
			continue
		}
		wanted += f.Length
		if t.From.Claim != nil {
			have += info.BytesOf(i, t.From.Claim.Pieces)
		}
	}
	return wanted, have
}
