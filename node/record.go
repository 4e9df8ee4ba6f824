package node

import (
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io/fs"
	"path/filepath"
	"time"
	"unique"

	"seedbed/internal/id"
	"seedbed/internal/journal"
	"seedbed/magnet"
	"seedbed/node/lifecycle"
)

// A record is the saved state of a torrent of the session: what a restart needs besides the
// metadata and the resume record. It is stored as JSON in the journal "session" in the state
// directory; see recordsync.go.
type record struct {
	Version  int      `json:"version"`
	InfoHash string   `json:"infohash"`
	Link     string   `json:"link,omitempty"` // the link that the torrent was added with; "": see the file "torrent"
	Dir      string   `json:"dir"`            // absolute
	Select   []int    `json:"select,omitempty"`
	All      bool     `json:"all,omitempty"` // all files, even if the link selects some
	Peers    []string `json:"peers,omitempty"`

	Overwrite bool `json:"overwrite,omitempty"`
	Symlinks  bool `json:"symlinks,omitempty"`
	Seed      bool `json:"seed,omitempty"`
	// Objects is the place of the object store that has the files; "" if they are in Dir.
	Objects string `json:"objects,omitempty"`
	Shared  bool   `json:"shared,omitempty"` // Spec.Shared

	UpRate   int64    `json:"up_rate,omitempty"`
	DownRate int64    `json:"down_rate,omitempty"`
	Labels   []string `json:"labels,omitempty"`

	Priorities Priorities `json:"priorities,omitzero"`
	Order      Order      `json:"order,omitzero"`
	MaxPeers   int        `json:"max_peers,omitempty"`

	Category string  `json:"category,omitempty"`
	Final    string  `json:"final,omitempty"` // Spec.FinalDir
	Naming   *Naming `json:"names,omitempty"`
	Reported bool    `json:"reported,omitempty"`
	Forced   bool    `json:"forced,omitempty"`

	Want     wanted    `json:"want"`
	Move     string    `json:"move,omitempty"`          // target folder of a move
	InPlace  bool      `json:"move_in_place,omitempty"` // the files are in that folder already
	Recheck  bool      `json:"recheck,omitempty"`       // everything must be hashed
	Place    int64     `json:"place"`                   // in the queue
	Mount    string    `json:"mount,omitempty"`         // where the file system of the folder is mounted; see mountOf
	Goals    Goals     `json:"goals,omitzero"`
	Finished bool      `json:"finished,omitempty"` // a seeding goal has paused it
	Added    time.Time `json:"added"`
	tally
	Parked time.Duration `json:"parked_ns,omitempty"` // the node's uptime when the torrent was parked; 0: it is not

	Summary *recordSummary `json:"summary,omitempty"`
}

// recordSummary is the stored form of a summary, from when the torrent last stopped.
type recordSummary struct {
	Hash       string `json:"v1,omitempty"` // in hexadecimal, like HashV2
	HashV2     string `json:"v2,omitempty"`
	Name       string `json:"name"`
	Size       int64  `json:"size"`
	Wanted     int64  `json:"wanted"`
	Have       int64  `json:"have"`
	Pieces     int    `json:"pieces"`
	HavePieces int    `json:"have_pieces"`
	Private    bool   `json:"private,omitempty"`

	Files       int32 `json:"files,omitempty"` // without padding
	PieceLength int32 `json:"piece_length,omitempty"`
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
const damagedAdvice = "add the torrent again; existing data is hashed, not downloaded again"

// A sessionEntry holds what a record has besides the Spec, the summary and the upload
// counter. The record itself is made when it is written and is not kept in memory.
type sessionEntry struct {
	want     wanted
	move     string // target folder of a move
	inPlace  bool   // the files are in that folder already
	recheck  bool
	finished bool // a seeding goal has paused it
	reported bool // see Details.Reported
	forced   bool // see Torrent.IsForced
	place    int64
	added    int64                 // Unix seconds
	mount    unique.Handle[string] // see mountOf
}

func (r *record) entry() *sessionEntry {
	return &sessionEntry{want: r.Want, move: r.Move, inPlace: r.InPlace, recheck: r.Recheck, finished: r.Finished, mount: unique.Make(r.Mount), reported: r.Reported, forced: r.Forced, place: r.Place, added: r.Added.Unix()}
}

// intent returns the intent of a restored torrent.
func (k *sessionEntry) intent() (i lifecycle.Intent) {
	switch k.want {
	case wantPause:
		i.Want = lifecycle.Pause
	case wantRemove, wantDelete:
		i.Want = lifecycle.Remove
	}
	i.Move, i.Recheck = k.move != "", k.recheck
	return i
}

// record returns the record of a torrent of the session. control.mu is held.
func (t *Torrent) record() *record {
	k, spec := t.control.entry, t.control.spec
	r := &record{Version: recordVersion, InfoHash: t.hash.String(), Dir: spec.Dir, Select: spec.Select, All: spec.All,
		Peers: spec.Peers, Overwrite: spec.Overwrite, Symlinks: spec.Symlinks, Seed: spec.Seed, Objects: spec.store, Shared: spec.Shared, Labels: spec.Labels,
		Category: spec.Category, Final: spec.FinalDir, Naming: spec.Naming, Reported: k.reported, Forced: k.forced,
		Priorities: spec.Priorities, Order: spec.Order, MaxPeers: spec.MaxPeers,
		UpRate: spec.UpRate, DownRate: spec.DownRate, Want: k.want, Move: k.move, InPlace: k.inPlace, Recheck: k.recheck, Place: k.place, Mount: k.mount.Value(), Goals: spec.Goals, Finished: k.finished,
		Added: time.Unix(k.added, 0).UTC(), tally: t.tally()}
	if t.control.isParking || t.control.state.Phase == lifecycle.Parked {
		r.Parked = t.node.uptime()
	}
	if spec.Link != nil {
		r.Link = spec.Link.String()
	}
	if m := t.summary.Load(); m != nil {
		r.Summary = m.record(t.private.Load())
	}
	return r
}

// spec returns the Spec for adding the torrent again. It reads the torrent file from the
// state directory if necessary.
func (r *record) spec(st *torrentState) (Spec, error) {
	s := Spec{Dir: r.Dir, Select: r.Select, All: r.All, Peers: r.Peers, Overwrite: r.Overwrite, Symlinks: r.Symlinks, Seed: r.Seed, Objects: r.Objects != "", Upload: r.Objects != "" && !r.Seed, Shared: r.Objects != "" && r.Shared, store: r.Objects,
		UpRate: r.UpRate, DownRate: r.DownRate, Labels: r.Labels, Category: r.Category, FinalDir: r.Final, Naming: r.Naming, Goals: r.Goals,
		Priorities: r.Priorities, Order: r.Order, MaxPeers: r.MaxPeers, Persistent: true}
	if r.Link != "" {
		l, err := magnet.Parse(r.Link)
		if err != nil {
			return s, err
		}
		s.Link = l
		return s, s.validate()
	}
	if r.Summary.namesTorrent() {
		return s, nil // the metadata is read when the torrent starts
	}
	if s.Torrent = st.loadTorrent([]id.ID{st.hash}); s.Torrent == nil {
		return s, errors.New("the metadata is missing")
	}
	return s, nil
}

// readRecord reads the record of a torrent. The error is fs.ErrNotExist, or a *DamagedError.
func readRecord(j *journal.Journal, st *torrentState) (*record, error) {
	b, err := j.Get(st.hash)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	r := new(record)
	if err == nil {
		err = r.decode(b, st.hash)
	}
	if err != nil {
		return nil, st.damaged(err)
	}
	return r, nil
}

// decode parses a record.
func (r *record) decode(b []byte, hash id.ID) error {
	if err := json.Unmarshal(b, r); err != nil {
		return err
	}
	return r.validate(hash.String())
}

// damaged returns the error about the record of a torrent.
func (t *torrentState) damaged(err error) *DamagedError {
	return &DamagedError{t.dir.sessionPath(), fmt.Errorf("the record of %v: %w", t.hash, err), damagedAdvice}
}

func (r *record) validate(infohash string) error {
	switch {
	case r.Version != recordVersion:
		return fmt.Errorf("it has version %d, but this program reads version %d", r.Version, recordVersion)
	case r.InfoHash != infohash:
		return errors.New("it belongs to another torrent")
	case !filepath.IsAbs(r.Dir) || r.Move != "" && !filepath.IsAbs(r.Move) || r.Final != "" && !filepath.IsAbs(r.Final):
		return errors.New("its folder is not an absolute path")
	case r.Naming.Validate() != nil:
		return r.Naming.Validate()
	case r.Goals.validate() != nil:
		return r.Goals.validate()
	case r.Priorities.validate() != nil || r.Order.validate() != nil:
		return errors.Join(r.Priorities.validate(), r.Order.validate())
	case r.MaxPeers < 0 || r.UpRate < 0 || r.DownRate < 0 || r.Parked < 0 || !r.tally.isValid():
		return errors.New("it has a negative number")
	}
	switch r.Want {
	case wantRun, wantPause, wantRemove, wantDelete:
		return nil
	}
	return fmt.Errorf("unknown value %q for want", r.Want)
}

// save writes the record of a torrent of the session, and has it synced soon. It waits for the file
// system, but not for the disk.
func (t *Torrent) save() error { return t.saveRecord(true) }

// saveRecord writes the record of a torrent of the session, if that has changed or always is set:
// what a user has chosen must not depend on a checksum.
func (t *Torrent) saveRecord(always bool) error {
	c := &t.control
	c.saving.Lock()
	defer c.saving.Unlock()
	c.mu.Lock()
	if c.entry == nil {
		c.mu.Unlock()
		return nil
	}
	b, err := json.Marshal(t.record())
	c.mu.Unlock()
	if err != nil {
		return err
	}
	sum := crc32.ChecksumIEEE(b) | 1 // never 0
	if sum == c.saved && !always {
		return nil
	}
	c.saved = 0
	j, err := t.node.state.records()
	if err == nil {
		err = j.Put(t.hash, b)
	}
	if errors.Is(err, fs.ErrClosed) {
		return ErrClosed
	}
	if err != nil {
		return asFault(err)
	}
	c.saved = sum
	t.node.records.add()
	return nil
}
