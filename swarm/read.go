package swarm

import (
	"context"
	"errors"
)

// ErrMissing is returned for a piece that has not been downloaded.
var ErrMissing = errors.New("the piece has not been downloaded")

// Has reports whether a piece is verified and written, so that ReadAt can read it.
func (t *Torrent) Has(piece int) bool {
	t.engMu.Lock()
	defer t.engMu.Unlock()
	return t.eng.Has(piece)
}

// ReadAt reads verified data of a piece, starting at begin; Has must be true for all of
// it. A storage failure is handled like any other: the storage is recovered, and lost
// pieces are fetched again.
//
// Data that is elsewhere is fetched until ctx ends, whose cause is then the error. It is storage.ErrAway if the data was out
// of reach for a minute, and ErrStopped if the torrent has stopped.
func (t *Torrent) ReadAt(ctx context.Context, b []byte, piece int, begin int64) error {
	if !t.Has(piece) {
		return ErrMissing
	}
	err := t.readAt(ctx, b, int64(piece)*t.info.PieceLength+begin)
	var away *fetchError
	switch {
	case err == nil:
		return nil
	case t.stopping.Load():
		return ErrStopped
	case errors.As(err, &away): // the storage works, as far as it is known
		return away.err
	}
	t.storageFailed(err)
	return err
}

// fetchError says that data could not be fetched now. The storage has not failed.
type fetchError struct{ err error }

func (e *fetchError) Error() string { return e.err.Error() }

// Unwrap returns the reason.
func (e *fetchError) Unwrap() error { return e.err }

// readAt reads stored data, which it fetches first if it is elsewhere. The error is a *fetchError if it could not be fetched.
func (t *Torrent) readAt(ctx context.Context, b []byte, off int64) error {
	wait := func() error {
		if err := t.remote.wait(ctx, off, int64(len(b))); err != nil {
			return &fetchError{err}
		}
		return nil
	}
	return whenLocal(wait, func() error { return t.readLocal(b, off) })
}

// readLocal reads data that is here; the number of concurrent reads of the torrent and of the node is limited,
// and a disk that hangs does not hold up the torrents on others. Bytes beyond the end of the torrent are padding: zeros.
func (t *Torrent) readLocal(b []byte, off int64) error {
	if over := off + int64(len(b)) - t.info.Length; over > 0 {
		in := max(0, len(b)-int(over))
		clear(b[in:])
		if b = b[:in]; in == 0 {
			return nil
		}
	}
	c := &t.cfg.Shared.counters
	c.reads.Add(1)
	defer c.reads.Add(-1)
	t.reading <- struct{}{}
	defer func() { <-t.reading }()
	place, turn := t.cfg.Shared.reads.begin()
	defer t.cfg.Shared.reads.end(place, turn)
	err := t.content.Storage.ReadAt(b, off)
	if err == nil {
		c.read.Add(int64(len(b)))
	}
	return err
}
