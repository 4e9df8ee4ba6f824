package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm"
)

// Errors of OpenFile.
var (
	ErrNoMetadata  = errors.New("the metadata is not known yet")
	ErrNoFile      = errors.New("there is no such file")
	ErrNotSelected = errors.New("the file is not selected")
)

// errEnd is the error of a reader whose torrent has stopped.
var errEnd = errors.New("the torrent was stopped")

// A FileReader reads a file of a torrent while it is downloaded. It is an io.ReadSeeker
// for one goroutine at a time; Close stops its read-ahead.
type FileReader struct {
	t        *Torrent
	player   *player
	info     *metainfo.Info
	ctx      context.Context
	file     int
	pos      int64
	window   window // guarded by player.mu
	isClosed bool
}

// OpenFile opens a selected file for reading, by its index in Info.Files.
//
// While the torrent runs, Read waits for missing data until ctx ends or the torrent leaves the
// node, and the pieces that follow the position of the reader are fetched before all others. What is
// verified can be read in every phase. If missing data is read while the torrent does not run, Read
// returns an error that says why.
func (t *Torrent) OpenFile(ctx context.Context, file int) (*FileReader, error) {
	info := t.Info()
	switch {
	case t.isStopping():
		return nil, ErrEnded
	case info == nil:
		return nil, ErrNoMetadata
	case file < 0 || file >= len(info.Files) || info.Files[file].Pad || !info.Files[file].IsRegular():
		return nil, ErrNoFile
	case !slices.Contains(t.filesOf(info), file):
		return nil, ErrNotSelected
	}
	p := t.player.Load()
	if p == nil {
		if p = newPlayer(t, 0, false); !t.player.CompareAndSwap(nil, p) {
			p = t.player.Load()
		}
	}
	p.open()
	return &FileReader{t: t, player: p, info: info, ctx: ctx, file: file}, nil
}

// Files returns the wanted files, by their index in Info.Files, without padding. It
// returns none while the metadata is not known.
func (t *Torrent) Files() (out []int) {
	info := t.Info()
	if info == nil {
		return nil
	}
	return t.filesOf(info)
}

// filesOf implements Files.
func (t *Torrent) filesOf(info *metainfo.Info) (out []int) {
	spec := t.spec()
	wanted, err := spec.files(info)
	if err != nil {
		return nil
	}
	set := fileSet(info, wanted)
	for i := range info.Files {
		if !info.Files[i].Pad && (wanted == nil || set.Has(i)) {
			out = append(out, i)
		}
	}
	return out
}

// Size returns the length of the file in bytes.
func (r *FileReader) Size() int64 { return r.info.Files[r.file].Length }

// Read reads verified data, up to the end of a piece, and waits for the first byte
// if necessary.
func (r *FileReader) Read(b []byte) (int, error) {
	f := &r.info.Files[r.file]
	if r.pos >= f.Length {
		return 0, io.EOF
	}
	if len(b) == 0 {
		return 0, nil
	}
	r.player.moved(r, r.player.from(r.info, r.file, r.pos))
	off := f.Offset + r.pos
	piece, begin := int(off/r.info.PieceLength), off%r.info.PieceLength
	n := int(min(int64(len(b)), f.Length-r.pos, r.info.PieceLength-begin))
	for retried := false; ; {
		changed := r.player.next()
		from, err := r.await(piece)
		if err != nil {
			return 0, err
		}
		err = from.ReadAt(r.ctx, b[:n], piece, begin)
		data, isResting := from.(restingData)
		switch {
		case err == nil:
			r.pos += int64(n)
			return n, nil
		case r.ctx.Err() != nil:
			return 0, context.Cause(r.ctx)
		case errors.Is(err, swarm.ErrStopped): // the torrent is being paused, for example, and then read without the swarm
			if err := r.sleep(changed); err != nil {
				return 0, err
			}
		case isResting && errors.Is(err, swarm.ErrMissing):
			return 0, r.lacks(r.t.Phase())
		case isResting && !retried && data.mayBeClosed():
			retried = true
			r.player.stored.outdated.Store(true)
		default:
			spec := r.t.spec()
			return 0, fmt.Errorf("%s: %w", r.t.Name(), spec.storeFault(err))
		}
	}
}

// source is where a verified piece can be read: a swarm, or the data of a torrent that does not run. Its errors are those of
// swarm.Torrent.ReadAt.
type source interface {
	ReadAt(ctx context.Context, b []byte, piece int, begin int64) error
}

// await waits until the torrent has a piece.
func (r *FileReader) await(piece int) (source, error) {
	t := r.t
	woken := false
	for {
		changed := r.player.next()
		if t.isStopping() {
			return nil, errEnd
		}
		now := t.run.Load()
		if now != nil && now.swarm.Has(piece) {
			return now.swarm, nil
		}
		if now == nil {
			from, err := r.resting(piece, woken)
			if from != nil || err != nil {
				return from, err
			}
			if t.Phase() == lifecycle.Parked && !woken {
				woken = true
				t.wake(r.ctx)
				continue
			}
		}
		if err := r.sleep(changed); err != nil {
			return nil, err
		}
	}
}

// sleep waits until changed is closed, or returns why the reader ends before.
func (r *FileReader) sleep(changed <-chan struct{}) error {
	select {
	case <-changed:
		return nil
	case <-r.ctx.Done():
		return context.Cause(r.ctx)
	case <-r.t.milestones.wait(isStopping):
		return errEnd
	}
}

// resting returns the source of a piece of a torrent that does not run. It returns nil while the
// worker of the torrent is active, and before a parked torrent is woken. Otherwise it returns an
// error if the piece is missing.
func (r *FileReader) resting(piece int, woken bool) (source, error) {
	t, c := r.t, &r.t.control
	c.mu.Lock()
	working, failure, phase := c.working, c.failure, c.shown(c.state.Phase)
	c.mu.Unlock()
	switch {
	case working:
		return nil, nil
	case failure != nil:
		return nil, failure
	}
	stored, err := r.player.stored.open(t, r.info)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s: %w", t.Name(), asFault(err))
	case stored.Has(piece):
		return stored, nil
	case phase == lifecycle.Parked && !woken:
		return nil, nil
	}
	return nil, r.lacks(phase)
}

// lacks returns the error for a piece that is missing in a torrent that does not run.
func (r *FileReader) lacks(phase lifecycle.Phase) error {
	return &Fault{Kind: FaultIncomplete, Err: fmt.Errorf("%s is %v, and this part of the file is not downloaded", r.t.Name(), phase), hint: "start the torrent to download it"}
}

// Seek sets the offset of the next Read, which starts the download of that part.
func (r *FileReader) Seek(offset int64, whence int) (int64, error) {
	switch whence {
	case io.SeekCurrent:
		offset += r.pos
	case io.SeekEnd:
		offset += r.Size()
	}
	if offset < 0 {
		return 0, errors.New("seek before the start of the file")
	}
	r.pos = offset
	return offset, nil
}

// Close ends the read-ahead of the reader. It returns nil.
func (r *FileReader) Close() error {
	if !r.isClosed {
		r.isClosed = true
		r.player.left(r)
	}
	return nil
}
