package swarm

import "errors"

// ErrLacking says that a piece which was to be read is not there, or not yet.
var ErrLacking = errors.New("the piece is not there")

// Has reports whether a piece is verified and written: ReadAt can read it.
func (t *Torrent) Has(piece int) bool {
	t.engMu.Lock()
	defer t.engMu.Unlock()
	return t.eng.Has(piece)
}

// ReadAt reads verified data from begin of a piece on; b must not go beyond what
// Has says is there. When the storage fails it is mended as after any failure, and
// what is lost fetched again.
func (t *Torrent) ReadAt(b []byte, piece int, begin int64) error {
	if !t.Has(piece) {
		return ErrLacking
	}
	err := t.readAt(b, int64(piece)*t.info.PieceLength+begin)
	if err != nil && !t.stopping.Load() {
		t.storageFailed(err)
	}
	return err
}

// readAt reads what is stored, in turn with the other readers of the node. What is
// behind the end of the torrent is padding: zeros.
func (t *Torrent) readAt(b []byte, off int64) error {
	if over := off + int64(len(b)) - t.info.Length; over > 0 {
		in := max(0, len(b)-int(over))
		clear(b[in:])
		if b = b[:in]; in == 0 {
			return nil
		}
	}
	disk := t.cfg.Shared.disk
	disk <- struct{}{}
	err := t.content.Storage.ReadAt(b, off)
	<-disk
	return err
}
