package swarm

import (
	"errors"

	"seedbed/swarm/engine"
)

// ErrLacking says that a piece which was to be read is not there, or not yet.
var ErrLacking = errors.New("the piece is not there")

// Has reports whether a piece is verified and written: ReadAt can read it.
func (t *Torrent) Has(piece int) bool {
	t.engMu.Lock()
	defer t.engMu.Unlock()
	return t.eng.Has(piece)
}

// ReadAt reads verified data, by its offset in the torrent; b must not go beyond
// what Has says is there. When the storage fails it is mended as after any
// failure, and what is lost fetched again.
func (t *Torrent) ReadAt(b []byte, off int64) error {
	if !t.Has(int(off / max(1, t.pieceLength()))) {
		return ErrLacking
	}
	sh := t.cfg.Shared
	sh.disk <- struct{}{}
	err := t.content.Storage.ReadAt(b, off)
	<-sh.disk
	if err != nil && !t.stopping.Load() {
		t.storageFailed(err, engine.Event{Kind: engine.EvStorageFailed, Slot: engine.NoSlot})
	}
	return err
}

// pieceLength is 0 while the metadata is not known.
func (t *Torrent) pieceLength() int64 {
	t.engMu.Lock()
	defer t.engMu.Unlock()
	return t.eng.PieceLength()
}
