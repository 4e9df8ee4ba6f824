package node

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"

	"seedbed/swarm"
)

// Errors of OpenFile.
var (
	ErrNoMetadata = errors.New("the metadata is not known yet")
	ErrNoFile     = errors.New("there is no such file, or it is not wanted")
)

// errEnd is the error of a reader whose torrent has stopped.
var errEnd = errors.New("the torrent was stopped")

// A FileReader reads a file of a torrent while it is downloaded. It is an io.ReadSeeker
// for one goroutine at a time; Close stops its read-ahead.
type FileReader struct {
	t      *Torrent
	ctx    context.Context
	file   int
	pos    int64
	window window // guarded by player.mu
}

// OpenFile opens a wanted file for reading, by its index in Info.Files. The torrent
// must have been added with Spec.ReadAhead. Read waits for missing data until ctx
// ends or the torrent stops.
func (t *Torrent) OpenFile(ctx context.Context, file int) (*FileReader, error) {
	if t.player == nil {
		return nil, errors.New("the torrent is not one that is played")
	}
	if t.Info() == nil {
		return nil, ErrNoMetadata
	}
	if !slices.Contains(t.Files(), file) {
		return nil, ErrNoFile
	}
	return &FileReader{t: t, ctx: ctx, file: file}, nil
}

// Files returns the wanted files, by their index in Info.Files, without padding. It
// returns none while the metadata is not known.
func (t *Torrent) Files() (out []int) {
	info := t.Info()
	if info == nil {
		return nil
	}
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
func (r *FileReader) Size() int64 { return r.t.Info().Files[r.file].Length }

// Read reads verified data, up to the end of a piece, and waits for the first byte
// if necessary.
func (r *FileReader) Read(b []byte) (int, error) {
	info := r.t.Info()
	f := &info.Files[r.file]
	if r.pos >= f.Length {
		return 0, io.EOF
	}
	if len(b) == 0 {
		return 0, nil
	}
	p := r.t.player
	p.moved(r, p.from(r.file, r.pos))
	off := f.Offset + r.pos
	piece, begin := int(off/info.PieceLength), off%info.PieceLength
	swarm, err := r.await(piece)
	if err != nil {
		return 0, err
	}
	n := int(min(int64(len(b)), f.Length-r.pos, info.PieceLength-begin))
	if err := swarm.ReadAt(b[:n], piece, begin); err != nil {
		return 0, fmt.Errorf("%s: %w", r.t.Name(), asFault(err))
	}
	r.pos += int64(n)
	return n, nil
}

// await waits until a piece is available, and returns the swarm that has it.
func (r *FileReader) await(piece int) (*swarm.Torrent, error) {
	for {
		changed := r.t.player.next()
		if now := r.t.run.Load(); now != nil && now.swarm.Has(piece) {
			return now.swarm, nil
		}
		select {
		case <-changed:
		case <-r.ctx.Done():
			return nil, context.Cause(r.ctx)
		case <-r.t.milestones.stopping:
			return nil, errEnd
		}
	}
}

// Seek sets where the next Read begins. Fetching starts with that Read.
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

// Close closes the reader.
func (r *FileReader) Close() error {
	r.t.player.left(r)
	return nil
}
