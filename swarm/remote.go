package swarm

import (
	"context"

	"seedbed/swarm/engine"
)

// remote holds the uploads of a torrent whose data is elsewhere until it is here. Nothing waits for it: the connections
// go on with other blocks and messages. If the storage is not a Remote, it does nothing.
type remote struct {
	t       *Torrent
	storage Remote // nil if all data is here
	waiting map[heldUpload]struct{}
}

// heldUpload is a block that its peer waits for.
type heldUpload struct {
	conn  engine.Conn
	block engine.Block
}

// open sets the storage. Nothing has been uploaded before.
func (r *remote) open(t *Torrent, s Storage) {
	r.t = t
	r.storage, _ = s.(Remote)
}

// isHere reports whether the data of a block is here. Otherwise the block is uploaded when it is. Only the loop may call it.
func (r *remote) isHere(n engine.Conn, b engine.Block) bool {
	if r.storage == nil {
		return true
	}
	u := heldUpload{n, b}
	off, size := r.bounds(b)
	if r.storage.Fetch(off, size, func(err error) { r.t.inbox.post(item{fn: func() { r.came(u, err) }}) }) {
		return true
	}
	if r.waiting == nil {
		r.waiting = map[heldUpload]struct{}{}
	}
	r.waiting[u] = struct{}{}
	return false
}

// bounds returns the range of a block in the torrent, without what is beyond its end.
func (r *remote) bounds(b engine.Block) (off, size int64) {
	info := r.t.info
	off = int64(b.Piece)*info.PieceLength + int64(b.Begin)
	return off, min(int64(b.Length), info.Length-off)
}

// came uploads a block that has come, or tells the engine that it has not.
func (r *remote) came(u heldUpload, err error) {
	if _, wanted := r.waiting[u]; !wanted {
		return
	}
	delete(r.waiting, u)
	if err == nil {
		r.t.upload(u.conn, u.block)
		return
	}
	r.t.cfg.Log.Debug("a block could not be fetched", "infohash", r.t.cfg.InfoHash, "piece", u.block.Piece, "error", err)
	r.t.inbox.postBlocks(engine.BlockUnsent, u.conn, []engine.Block{u.block})
}

// withdraw gives up a block of a connection, or all of them if the length of b is zero.
func (r *remote) withdraw(n engine.Conn, b engine.Block) {
	var gone []engine.Block
	for u := range r.waiting {
		if u.conn == n && (b.Length == 0 || u.block == b) {
			delete(r.waiting, u)
			gone = append(gone, u.block)
		}
	}
	if len(gone) > 0 {
		r.t.inbox.postBlocks(engine.BlockUnsent, n, gone)
	}
}

// closed forgets what a connection was waiting for.
func (r *remote) closed(n engine.Conn) {
	for u := range r.waiting {
		if u.conn == n {
			delete(r.waiting, u)
		}
	}
}

// wait waits until a range can be read.
func (r *remote) wait(ctx context.Context, off, n int64) error {
	if r.storage == nil {
		return nil
	}
	n = min(n, r.t.info.Length-off)
	for n > 0 {
		ready := make(chan error, 1)
		if r.storage.Fetch(off, n, func(err error) { ready <- err }) {
			return nil
		}
		select {
		case err := <-ready:
			if err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
