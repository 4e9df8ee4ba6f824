package gateway

import (
	"context"
	"errors"
	"path/filepath"
	"sync"

	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/tree"
)

// readAhead is how far ahead of a reader a version is fetched, in bytes.
const readAhead = 4 << 20

// copies are the versions that are being read, or were. The torrent of a version is one that the node
// has anyway, or a cache, which holds what was read.
type copies struct {
	node *node.Node
	dir  string

	mu   sync.Mutex
	held map[id.ID]*held
}

// held is a version that can be read.
type held struct {
	torrent *node.Torrent
	tree    *tree.Tree

	mu    sync.Mutex
	users int // requests that read it
}

func newCopies(n *node.Node, dir string) *copies {
	return &copies{node: n, dir: dir, held: map[id.ID]*held{}}
}

// open returns the version that a link names, and waits for its metadata.
func (c *copies) open(ctx context.Context, link *magnet.Link, peers []string) (*held, error) {
	ih := link.InfoHash
	t, err := c.torrent(link, peers)
	if err != nil {
		return nil, err
	}
	files, err := tree.Open(ctx, t)
	if err != nil {
		return nil, err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	h := c.held[ih]
	if h == nil || h.torrent != t {
		h = &held{torrent: t, tree: files}
		c.held[ih] = h
	}
	return h, nil
}

// torrent returns the torrent that a link names, and adds it if the node does not have it.
func (c *copies) torrent(link *magnet.Link, peers []string) (*node.Torrent, error) {
	for {
		if t := c.node.Torrent(link.InfoHash); t != nil {
			return t, nil
		}
		t, err := c.node.Add(node.Spec{Link: link, Dir: filepath.Join(c.dir, link.InfoHash.String()), All: true, Peers: peers, ReadAhead: readAhead, Cache: true})
		if !errors.Is(err, node.ErrDuplicate) {
			return t, err
		}
	}
}

// use marks the version as being read until done is called.
func (h *held) use() (done func()) {
	h.mu.Lock()
	h.users++
	h.mu.Unlock()
	return sync.OnceFunc(func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.users--
	})
}

// isGone reports whether the torrent has left the node.
func (h *held) isGone() bool {
	select {
	case <-h.torrent.Ended():
		return true
	default:
		return false
	}
}
