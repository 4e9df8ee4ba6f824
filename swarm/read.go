package swarm

import "errors"

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
func (t *Torrent) ReadAt(b []byte, piece int, begin int64) error {
	if !t.Has(piece) {
		return ErrMissing
	}
	err := t.readAt(b, int64(piece)*t.info.PieceLength+begin)
	if err != nil && !t.stopping.Load() {
		t.storageFailed(err)
	}
	return err
}

// readAt reads stored data; the number of concurrent reads in the node is limited. Bytes
// beyond the end of the torrent are padding: zeros.
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
