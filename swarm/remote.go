package swarm

import (
	"context"
	"errors"
	"sync/atomic"
	"time"

	"seedbed/internal/await"
	"seedbed/swarm/engine"
	"seedbed/swarm/storage"
)

// remote holds the uploads of a torrent whose data is elsewhere until it is here. Nothing waits for it: the connections
// go on with other blocks and messages. If the storage is not a Remote, it does nothing. fetchAccount limits what peers cost.
type remote struct {
	t       *Torrent
	storage Remote                      // nil if all data is here
	conns   map[engine.Conn]*remoteConn // nil if nothing was uploaded
	// asking means that it is asked again and again whether the data can be reached.
	asking bool
}

const (
	// askAwayEvery is how often it is asked whether data that is out of reach can be reached again.
	askAwayEvery = time.Second
	// awayTime is how long a reader waits for data that is out of reach.
	awayTime = time.Minute
	// maxHeld is how many blocks are fetched for a connection at a time.
	maxHeld = 4096
)

// remoteConn is what a connection waits for.
type remoteConn struct {
	held    map[engine.Block]*heldBlock
	pieces  map[uint32]int // by piece: how many of its blocks are held
	account *fetchAccount
}

// heldBlock is a block that is being fetched for a connection.
type heldBlock struct {
	withdrawn atomic.Bool // the peer does not want it any more
}

// open sets the storage. Nothing has been uploaded before.
func (r *remote) open(s Storage) { r.storage, _ = s.(Remote) }

// isHere reports whether the data of a block is here. Otherwise the block is uploaded when it is. Only the loop may call it.
func (r *remote) isHere(n engine.Conn, b engine.Block) bool {
	if r.storage == nil {
		return true
	}
	c := r.of(n)
	if c == nil {
		return true // the connection is closed, and nothing is sent
	}
	if h := c.held[b]; h != nil {
		if h.withdrawn.Swap(false) {
			r.t.inbox.postBlocks(engine.BlockFetching, n, []engine.Block{b})
		} else { // it is requested twice, and sent once
			r.t.inbox.postBlocks(engine.BlockUnsent, n, []engine.Block{b})
		}
		return false
	}
	off, size := r.bounds(b)
	if r.storage.Fetch(off, size, nil, nil) {
		return true
	}
	if len(c.held) >= maxHeld || !c.account.mayFetch(r.t.info.PieceLength) {
		r.t.inbox.postBlocks(engine.BlockUnsent, n, []engine.Block{b})
		return false
	}
	h := new(heldBlock)
	ready := func(err error) { r.t.inbox.post(item{fn: func() { r.came(n, b, h, err) }}) }
	if r.storage.Fetch(off, size, ready, func() bool { return !h.withdrawn.Load() }) {
		return true
	}
	if c.pieces[b.Piece] == 0 {
		c.account.fetched.Add(r.t.info.PieceLength)
	}
	c.pieces[b.Piece]++
	c.held[b] = h
	r.t.inbox.postBlocks(engine.BlockFetching, n, []engine.Block{b})
	return false
}

// of returns what is known of a connection, or nil if it is closed.
func (r *remote) of(n engine.Conn) *remoteConn {
	c, conn := r.conns[n], r.t.conns[n]
	if c == nil && conn != nil {
		if r.conns == nil {
			r.conns = map[engine.Conn]*remoteConn{}
		}
		c = &remoteConn{held: map[engine.Block]*heldBlock{}, pieces: map[uint32]int{}, account: r.t.cfg.Shared.fetches.of(conn.addr.Addr())}
		r.conns[n] = c
	}
	return c
}

// uploaded counts a block that was sent to a peer.
func (r *remote) uploaded(n engine.Conn, b engine.Block) {
	if c := r.conns[n]; c != nil {
		c.account.sent.Add(int64(b.Length))
	}
}

// bounds returns the range of a block in the torrent, without what is beyond its end.
func (r *remote) bounds(b engine.Block) (off, size int64) {
	info := r.t.info
	off = int64(b.Piece)*info.PieceLength + int64(b.Begin)
	return off, min(int64(b.Length), info.Length-off)
}

// came uploads a block that has come, or tells the engine that it has not.
func (r *remote) came(n engine.Conn, b engine.Block, h *heldBlock, err error) {
	c := r.conns[n]
	if c == nil || c.held[b] != h {
		return
	}
	delete(c.held, b)
	away := errors.Is(err, storage.ErrAway)
	if c.pieces[b.Piece]--; c.pieces[b.Piece] == 0 {
		delete(c.pieces, b.Piece)
		if away {
			c.account.fetched.Add(-r.t.info.PieceLength)
		}
	}
	switch {
	case h.withdrawn.Load():
	case away:
		r.t.inbox.postBlocks(engine.BlockAway, n, []engine.Block{b})
		if !r.asking {
			r.asking = true
			r.askAgain(b)
		}
	case err == nil:
		r.t.inbox.postBlocks(engine.BlockFetched, n, []engine.Block{b})
		r.t.upload(n, b)
	default:
		r.t.cfg.Log.Debug("a block could not be fetched", "infohash", r.t.cfg.InfoHash, "piece", b.Piece, "error", err)
		r.t.inbox.postBlocks(engine.BlockUnsent, n, []engine.Block{b})
	}
}

// askAgain finds out when data can be reached again: in a while it asks for a block that could not be fetched.
func (r *remote) askAgain(b engine.Block) {
	off, size := r.bounds(b)
	back := func() {
		r.asking = false
		r.t.inbox.post(item{ev: &engine.EvReachable{}})
	}
	time.AfterFunc(askAwayEvery, func() {
		r.t.inbox.post(item{fn: func() {
			ready := func(err error) {
				r.t.inbox.post(item{fn: func() {
					if err == nil {
						back()
					} else {
						r.askAgain(b)
					}
				}})
			}
			if r.storage.Fetch(off, size, ready, func() bool { return true }) {
				back()
			}
		}})
	})
}

// withdraw gives up a block of a connection, or all of them if the length of b is zero.
func (r *remote) withdraw(n engine.Conn, b engine.Block) {
	c := r.conns[n]
	if c == nil {
		return
	}
	var gone []engine.Block
	withdraw := func(b engine.Block, h *heldBlock) {
		if h != nil && !h.withdrawn.Swap(true) {
			gone = append(gone, b)
		}
	}
	if b.Length > 0 {
		withdraw(b, c.held[b])
	} else {
		for b, h := range c.held {
			withdraw(b, h)
		}
	}
	if len(gone) > 0 {
		r.t.inbox.postBlocks(engine.BlockUnsent, n, gone)
	}
}

// closed forgets a connection.
func (r *remote) closed(n engine.Conn) {
	if c := r.conns[n]; c != nil {
		for _, h := range c.held {
			h.withdrawn.Store(true)
		}
		delete(r.conns, n)
	}
}

// wait waits until a range can be read. The range is not wanted any more when ctx or the torrent ends.
func (r *remote) wait(ctx context.Context, off, n int64) error {
	if r.storage == nil {
		return nil
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	defer context.AfterFunc(r.t.ctx, func() { cancel(ErrStopped) })()
	return waitRemote(ctx, r.storage, off, min(n, r.t.info.Length-off))
}

// ReadRemote reads a range of a Remote, which it fetches first if it is not here. The error is the cause of ctx if that ends, or
// storage.ErrAway if the data was out of reach for a minute.
func ReadRemote(ctx context.Context, s Remote, b []byte, off int64) error {
	return whenLocal(func() error { return waitRemote(ctx, s, off, int64(len(b))) }, func() error { return s.ReadAt(b, off) })
}

// whenLocal calls read when wait says that the data is here. It starts again if the data has been removed before read gets to it.
func whenLocal(wait, read func() error) error {
	for {
		if err := wait(); err != nil {
			return err
		}
		if err := read(); !errors.Is(err, storage.ErrNotLocal) {
			return err
		}
	}
}

// waitRemote waits until a range can be read. The errors are those of ReadRemote.
func waitRemote(ctx context.Context, s Remote, off, n int64) error {
	for deadline := time.Now().Add(awayTime); n > 0; {
		ready := make(chan error, 1)
		if s.Fetch(off, n, func(err error) { ready <- err }, func() bool { return ctx.Err() == nil }) {
			return nil
		}
		select {
		case err := <-ready:
			if err != nil && (!errors.Is(err, storage.ErrAway) || time.Now().After(deadline)) {
				return err
			}
			if err != nil && await.Sleep(ctx, askAwayEvery) != nil {
				return context.Cause(ctx)
			}
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	return nil
}
