package storage

import (
	"crypto/sha256"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"sync"
	"sync/atomic"

	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
)

// Options configures Open.
type Options struct {
	Dir       string         // download folder, created unless ReadOnly; "" means the current folder
	Info      *metainfo.Info // required
	Select    []int          // indexes of the wanted files; nil means all
	Overwrite bool           // replace existing files of others
	Own       bool           // existing files belong to the torrent, even without a good piece
	Symlinks  bool           // create symbolic links, which lead to places in the torrent
	// ReadOnly is for sharing or checking existing data, complete or not, without
	// changing it. Symbolic links are followed wherever they lead.
	ReadOnly bool
	// Verified says that the data has just been hashed, so that files of the right size are
	// trusted without a check.
	Verified bool
	Record   string   // path of the resume record; "" means none
	Handles  *Handles // required
	// Steps, if not nil, counts the steps of saving: files synced or renamed, and so on.
	// While it grows, a long Flush or Close is making progress.
	Steps *atomic.Int64

	// OpenDisk opens the download folder and that of the record; nil means those of the
	// system.
	OpenDisk func(dir string, create bool) (Disk, error)
}

// Storage is the files of one torrent. Its methods may be called concurrently.
type Storage struct {
	layout
	o       Options
	dir     string // absolute
	disk    Disk
	state   Disk // of the record and the parts file
	renamed int  // number of names substituted by this Open
	handles *Handles

	// flushing serialises syncing and writing the record. renaming serialises giving
	// files their final names and Rename; it is locked after flushing.
	flushing  sync.Mutex
	renaming  sync.Mutex
	shown     atomic.Pointer[layout] // for Names
	unsettled *renamePlan            // a rename that the record of names still lists; guarded by renaming

	// places is held for reading during every read and write of a file, and for writing
	// while a file changes its place. The names in layout change while renaming and places
	// are both held, so either is enough to read them.
	places sync.RWMutex
	closed bool
	gone   atomic.Bool // the data is missing as a whole
	// hasFiles is set when some file of the torrent exists. It is guarded by places.
	hasFiles bool

	// mu guards the sets and lists. It is not held during disk operations.
	mu         sync.Mutex
	files      []fileState // one for each of Info.Files, then the parts file
	synced     bitset.Set  // verified and on the disk
	written    bitset.Set  // verified and written
	doubt      bitset.Set  // may exist: to be checked
	suspect    bitset.Set  // subset of written: a sync failed, so that the next one proves nothing
	outdated   bitset.Set  // see Outdated
	moved      bitset.Set  // bytes that left the parts file since the last flush began
	dirty      []int       // files with writes that are not synced
	finishable []int       // files that may take their final names
	dirs       map[string]struct{}
	changed    bool // the contents of the record have changed
	noted      int  // number of notes by Finish
	renames    int  // number of renames by Rename
	fault      *Error
	redo       redo
	recErr     error
	recorded   bool              // there was a usable record when it was opened
	refused    error             // why the claim is not used
	sealed     [sha256.Size]byte // checksum of the record on disk; guarded by flushing
	syncer     syncer            // syncs the dirty files if there are many
	syncing    atomic.Bool       // syncer was opened, or is not available

	finishBegan atomic.Int64 // when the last Finish began, in Unix nanoseconds
	wrote       atomic.Bool  // something was written since Open

	coarse bool        // file times do not show who wrote last
	fine   atomic.Bool // the system gives every write a distinct time

	journal journal

	lock partLock // guarded by places
}

type fileState struct {
	place           place // guarded by places
	candidate       bool  // guarded by places: it has the final name but is not proven to be ours
	other           string
	wanted          bool
	dirty           atomic.Bool
	left            int          // pieces that are not verified
	changedByOthers bool         // changed by others: its pieces are doubtful until they are hashed
	version         version      // as we left it
	id              fs.FileInfo  // identity of the file
	unsettled       bool         // on systems without steady times: written to since the last sync
	checkedAt       atomic.Int64 // when it was last seen unchanged, in Unix nanoseconds

	// writing is held from the check before a write to the one after it. It is locked
	// after places and before mu.
	writing sync.Mutex
}

// Open determines which data of a torrent exists. It creates nothing except the folder.
func Open(o Options) (*Storage, error) { return openClaimed(o, nil) }

// openClaimed implements Open and, with a claim, Adopt.
func openClaimed(o Options, c *Claim) (*Storage, error) {
	abs, err := filepath.Abs(o.Dir)
	if err != nil {
		return nil, wrap("find", o.Dir, err)
	}
	if o.OpenDisk == nil {
		o.OpenDisk = func(dir string, create bool) (Disk, error) { return SystemDisk(dir, create, o.Handles) }
	}
	if c != nil && c.Pieces.Next(0) >= 0 { // a folder that lacks the data is not created
		if _, err := o.OpenDisk(abs, false); err != nil {
			return nil, wrap("find", abs, err)
		}
	}
	n := o.Info.NumPieces()
	s := &Storage{
		layout: newLayout(o.Info), o: o, dir: abs, handles: o.Handles,
		files:  make([]fileState, len(o.Info.Files)+1),
		synced: bitset.New(n), written: bitset.New(n), doubt: bitset.New(n), suspect: bitset.New(n), outdated: bitset.New(n), moved: bitset.New(n),
		dirs: map[string]struct{}{},
	}
	if s.disk, err = o.OpenDisk(abs, !o.ReadOnly); err != nil {
		return nil, wrap("open", abs, err)
	}
	s.state = s.disk
	if o.Record != "" {
		if s.state, err = o.OpenDisk(filepath.Dir(o.Record), true); err != nil {
			return nil, wrap("open", filepath.Dir(o.Record), err)
		}
	}
	s.coarse = !o.ReadOnly && !s.disk.SteadyTimes()
	s.selectFiles(o.Select)
	if err := s.survey(c); err != nil {
		s.handles.dropAll(s)
		return nil, err
	}
	if err := s.openLock(); err != nil {
		s.handles.dropAll(s)
		return nil, err
	}
	s.showNames()
	s.holdPadding()
	s.loadJournal()
	return s, nil
}

func (s *Storage) selectFiles(list []int) {
	for i := range s.info.Files {
		s.files[i].wanted = list == nil
	}
	for _, i := range list {
		s.files[i].wanted = true
	}
}

// parts returns the index of the parts file in files.
func (s *Storage) parts() int { return len(s.files) - 1 }

// where returns the disk and the name of a file that is not absent.
func (s *Storage) where(i int) (Disk, string) {
	switch st := &s.files[i]; {
	case i == s.parts():
		if s.o.Record != "" {
			return s.state, filepath.Base(s.o.Record) + ".parts"
		}
		return s.disk, "." + s.info.Hash.String() + ".parts"
	case st.other != "":
		return s.disk, st.other
	case st.place == inFinal:
		return s.disk, s.final(i)
	}
	return s.disk, s.part(i)
}

// path returns the path of the file, for messages.
func (s *Storage) path(i int) string {
	d, name := s.where(i)
	if i == s.parts() && d == s.state && s.o.Record != "" {
		return filepath.Join(filepath.Dir(s.o.Record), name)
	}
	return filepath.Join(s.dir, name)
}

// acquire returns the open file. The caller holds places and must put it back.
func (s *Storage) acquire(i int) (*handle, File, error) {
	h, err := s.handles.get(handleKey{owner: s, file: i}, func() (io.Closer, error) { return s.openFile(i) })
	if err != nil {
		return nil, nil, err
	}
	return h, h.c.(File), nil
}

// openFile opens a file at its place. A file under its final name is complete, so read
// permission is enough.
func (s *Storage) openFile(i int) (File, error) {
	d, name := s.where(i)
	st := &s.files[i]
	// Opening a pipe would block.
	fi, err := d.Stat(name)
	switch {
	case err != nil:
		return nil, s.lost("open", i, 0, err)
	case !fi.Mode().IsRegular():
		return nil, wrap("open", s.path(i), ErrExists)
	}
	flag := os.O_RDONLY
	if st.place == inPart && !s.o.ReadOnly {
		flag = os.O_RDWR
	}
	f, err := d.Open(name, flag, 0)
	if err != nil {
		return nil, s.lost("open", i, 0, err)
	}
	if err == nil {
		err = s.compare("open", i, f)
	}
	if err != nil {
		return nil, errors.Join(wrap("open", s.path(i), err), f.Close())
	}
	return f, nil
}

// lost returns the error for a file without its bytes from size on. If others changed the
// file, nothing in it is trusted any more.
func (s *Storage) lost(op string, i int, size int64, err error) *Error {
	e := wrap(op, s.path(i), err)
	if e.Kind == Vanished && i < s.parts() && (s.gone.Load() || s.isGone()) {
		s.gone.Store(true)
		return e
	}
	changed := e.Kind == Vanished || e.Kind == Truncated || e.Kind == Changed
	if changed && (e.Kind != Truncated || !s.endsBefore(i, size)) {
		s.distrust(i)
	}
	if i < s.parts() && changed && e.End == 0 {
		e.First, e.End = s.info.PiecesOf(i)
		e.First = max(e.First, int((s.info.Files[i].Offset+size)/s.info.PieceLength))
	}
	return e
}

// failed records what Recheck must see fixed.
func (s *Storage) failed(err error) error {
	var e *Error
	if errors.As(err, &e) {
		s.mu.Lock()
		s.fault = e
		s.mu.Unlock()
	}
	return err
}

// Have returns the set of verified pieces; initially those that the record proves.
func (s *Storage) Have() bitset.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.have()
}

func (s *Storage) have() bitset.Set {
	have := s.synced.Clone()
	have.AddAll(s.written)
	return have
}

// Doubtful returns the set of pieces with existing but unproven data.
func (s *Storage) Doubtful() bitset.Set {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doubt.Clone()
}

// NeedsCheck reports whether any piece is doubtful; CheckDoubtful resolves that.
func (s *Storage) NeedsCheck() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.doubt.Next(0) >= 0
}

// RecordError returns why an existing resume record is not used, or nil.
func (s *Storage) RecordError() error { return s.recErr }

// MarkVerified records that piece p has been written and its hash was correct. If others
// changed one of its files meanwhile, the piece is doubtful instead.
func (s *Storage) MarkVerified(p int) {
	if s.verified(p) {
		s.markWhole(p)
	}
}

// holdPadding counts pieces of only padding as verified if their hash is that of zeros:
// no file stores them, so nothing can happen to them.
func (s *Storage) holdPadding() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for p := range s.info.ProvenPadding {
		s.doubt.Remove(p)
		s.written.Remove(p)
		s.synced.Add(p)
	}
}

// verified implements MarkVerified except for the journal. It returns false if the piece
// was already verified.
func (s *Storage) verified(p int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.isDistrusted(p) {
		// It may have been written before the change and verified after it.
		if !s.synced.Has(p) && !s.written.Has(p) {
			s.changed = s.doubt.Add(p) || s.changed
		}
		return false
	}
	s.doubt.Remove(p)
	s.suspect.Remove(p)
	if s.synced.Has(p) || !s.written.Add(p) {
		return false
	}
	s.changed = true
	for i := range s.filesOf(p) {
		st := &s.files[i]
		if st.left--; st.left == 0 {
			s.finishable = append(s.finishable, i)
		}
	}
	return true
}

// recount recomputes what follows from the sets. The caller holds mu and places.
func (s *Storage) recount() {
	s.finishable = s.finishable[:0]
	have := s.have()
	for i := range s.info.Files {
		f, st := &s.info.Files[i], &s.files[i]
		st.left = 0
		if f.Pad || f.Length == 0 {
			continue
		}
		for p, end := s.info.PiecesOf(i); p < end; p++ {
			if !have.Has(p) {
				st.left++
			}
		}
		if st.left == 0 && (st.place == inPart || st.place == absent && st.wanted) {
			s.finishable = append(s.finishable, i)
		}
	}
}

// SetSelect changes which files are wanted. Bytes of a newly wanted file in the parts
// file are moved when the file is created.
func (s *Storage) SetSelect(files []int) {
	s.places.Lock()
	defer s.places.Unlock()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.selectFiles(files)
	s.recount()
}

// Close flushes, including the times of the files, by which the next Open recognises that
// they are unchanged, and closes them.
func (s *Storage) Close() error {
	s.flushing.Lock()
	defer s.flushing.Unlock()
	s.places.Lock()
	was := s.closed
	s.closed = true
	s.places.Unlock()
	if was {
		return nil
	}
	err := s.flush(true)
	s.handles.dropAll(s)
	s.places.Lock()
	s.unlock()
	s.places.Unlock()
	s.mu.Lock()
	old := s.syncer
	s.syncer = nil
	s.mu.Unlock()
	if old != nil {
		_ = old.Close()
	}
	return err
}
