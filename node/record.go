package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/node/lifecycle"
)

// A record is what the session saves of one torrent: what a restart needs besides the
// metadata and the resume record. It is stored as JSON in torrents/INFOHASH/record in the
// state directory and is always replaced as a whole.
type record struct {
	Version  int      `json:"version"`
	InfoHash string   `json:"infohash"`
	Link     string   `json:"link,omitempty"` // the link it was added by; "": the file torrent
	Dir      string   `json:"dir"`            // absolute
	Select   []int    `json:"select,omitempty"`
	All      bool     `json:"all,omitempty"` // all files, even if the link selects some
	Peers    []string `json:"peers,omitempty"`

	Overwrite bool `json:"overwrite,omitempty"`
	Symlinks  bool `json:"symlinks,omitempty"`
	Seed      bool `json:"seed,omitempty"`

	UpRate   int64    `json:"up_rate,omitempty"`
	DownRate int64    `json:"down_rate,omitempty"`
	Labels   []string `json:"labels,omitempty"`

	Want     wanted    `json:"want"`
	Move     string    `json:"move,omitempty"`    // target folder of a move
	Recheck  bool      `json:"recheck,omitempty"` // everything must be hashed
	Place    int64     `json:"place"`             // in the queue
	Added    time.Time `json:"added"`
	Uploaded int64     `json:"uploaded,omitempty"` // bytes, over all runs

	// Summary is set only while the record is written and read; otherwise Torrent.summary holds it.
	Summary *recordSummary `json:"summary,omitempty"`
}

// recordSummary is what was known of the content when the torrent last stopped.
type recordSummary struct {
	Hashes     []string `json:"hashes"`
	Name       string   `json:"name"`
	Size       int64    `json:"size"`
	Wanted     int64    `json:"wanted"`
	Have       int64    `json:"have"`
	Pieces     int      `json:"pieces"`
	HavePieces int      `json:"have_pieces"`
	Private    bool     `json:"private,omitempty"`
	Link       string   `json:"link,omitempty"` // the bare magnet link
}

// wanted is the text form of the long-term intent in a record.
type wanted string

const (
	wantRun    wanted = "run"
	wantPause  wanted = "pause"
	wantRemove wanted = "remove"
	wantDelete wanted = "remove with data"
)

const recordVersion = 1

// damagedAdvice is the advice about a session record that is damaged.
const damagedAdvice = "move its folder away and add the torrent again; what is on the disk is hashed, not fetched"

// newRecord returns the record of a torrent that is being added.
func newRecord(spec *Spec, place int64) (*record, error) {
	dir, err := filepath.Abs(spec.Dir)
	if err != nil {
		return nil, err
	}
	r := &record{Version: recordVersion, InfoHash: spec.InfoHash().String(), Dir: dir, Select: spec.Select, All: spec.All,
		Peers: spec.Peers, Overwrite: spec.Overwrite, Symlinks: spec.Symlinks, Seed: spec.Seed, Labels: spec.Labels,
		UpRate: spec.UpRate, DownRate: spec.DownRate, Want: wantRun, Place: place, Added: time.Now().UTC().Truncate(time.Second)}
	if spec.Paused {
		r.Want = wantPause
	}
	if spec.Link != nil {
		r.Link = spec.Link.String()
	}
	return r, nil
}

// spec returns the Spec to add the torrent again. It reads the torrent file from the state
// directory if that is needed.
func (r *record) spec(st *torrentState) (Spec, error) {
	s := Spec{Dir: r.Dir, Select: r.Select, All: r.All, Peers: r.Peers, Overwrite: r.Overwrite, Symlinks: r.Symlinks, Seed: r.Seed,
		UpRate: r.UpRate, DownRate: r.DownRate, Labels: r.Labels, Persistent: true, Paused: r.Want == wantPause}
	if r.Link != "" {
		l, err := magnet.Parse(r.Link)
		if err != nil {
			return s, err
		}
		s.Link = l
		return s, s.validate()
	}
	hash, err := id.ParseHex(r.InfoHash)
	if err != nil {
		return s, err
	}
	s.hash = hash
	if r.Summary != nil {
		return s, nil // the metadata is read when the torrent starts
	}
	if s.Torrent = st.loadTorrent([]id.ID{hash}); s.Torrent == nil {
		return s, errors.New("its metadata is gone")
	}
	return s, nil
}

// summary returns what is known of the content, or nil.
func (r *record) summary() (*summary, error) {
	if r.Summary == nil {
		return nil, nil
	}
	m := r.Summary
	out := &summary{link: m.Link, name: m.Name, size: m.Size, wanted: m.Wanted, have: m.Have, pieces: m.Pieces, havePieces: m.HavePieces}
	for _, h := range m.Hashes {
		hash, err := id.ParseHex(h)
		if err != nil {
			return nil, err
		}
		out.hashes = append(out.hashes, hash)
	}
	if len(out.hashes) == 0 {
		return nil, errors.New("no infohash")
	}
	return out, nil
}

// note records what is known of the content.
func (r *record) note(m *summary, private bool) {
	if m == nil {
		return
	}
	s := &recordSummary{Link: m.link, Name: m.name, Size: m.size, Wanted: m.wanted, Have: m.have, Pieces: m.pieces, HavePieces: m.havePieces, Private: private}
	for _, h := range m.hashes {
		s.Hashes = append(s.Hashes, h.String())
	}
	r.Summary = s
}

// intent returns the intent of a restored torrent.
func (r *record) intent() (i lifecycle.Intent) {
	switch r.Want {
	case wantPause:
		i.Want = lifecycle.Pause
	case wantRemove, wantDelete:
		i.Want = lifecycle.Remove
	}
	i.Move, i.Recheck = r.Move != "", r.Recheck
	return i
}

// readRecord reads the record of a torrent. The error is fs.ErrNotExist, or a *DamagedError.
func readRecord(st *torrentState) (*record, error) {
	r := new(record)
	if _, err := ReadRecord(st.recordPath(), r, damagedAdvice); err != nil {
		return nil, err
	}
	if err := r.validate(filepath.Base(st.path)); err != nil {
		return nil, &DamagedError{st.recordPath(), err, damagedAdvice}
	}
	return r, nil
}

func (r *record) validate(infohash string) error {
	switch {
	case r.Version != recordVersion:
		return fmt.Errorf("it has version %d, and this program knows %d", r.Version, recordVersion)
	case r.InfoHash != infohash:
		return errors.New("it is about another torrent")
	case !filepath.IsAbs(r.Dir) || r.Move != "" && !filepath.IsAbs(r.Move):
		return errors.New("it has no absolute folder")
	case r.UpRate < 0 || r.DownRate < 0 || r.Uploaded < 0:
		return errors.New("it has a negative number")
	}
	switch r.Want {
	case wantRun, wantPause, wantRemove, wantDelete:
		return nil
	}
	return fmt.Errorf("what is wanted is %q", r.Want)
}

// save writes the record of a torrent that the session keeps. It waits for the disk.
func (t *Torrent) save() error {
	c := &t.control
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	if c.record == nil {
		c.mu.Unlock()
		return nil
	}
	now := *c.record
	now.Uploaded = t.uploaded.Load()
	now.note(t.summary.Load(), t.private.Load())
	b, err := json.Marshal(&now)
	c.mu.Unlock()
	if err != nil {
		return err
	}
	if err := statefile.WriteSync(t.state.recordPath(), b); err != nil {
		return asFault(err)
	}
	return statefile.SyncDir(t.state.path)
}
