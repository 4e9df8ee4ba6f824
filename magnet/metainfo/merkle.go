package metainfo

import (
	"crypto/sha256"
	"hash"
	"math/bits"
)

// Root is a node of a BEP 52 merkle tree: a SHA-256. The leaves are the hashes of a
// file's blocks; those beyond its end are zero.
type Root [sha256.Size]byte

func join2(a, b Root) Root {
	var both [2 * len(a)]byte
	copy(both[:], a[:])
	copy(both[len(a):], b[:])
	return sha256.Sum256(both[:])
}

// padRoots holds the roots of trees beyond the end, by height.
var padRoots = func() (r [64]Root) {
	for k := 1; k < len(r); k++ {
		r[k] = join2(r[k-1], r[k-1])
	}
	return r
}()

// treeWidth returns the number of leaves of the tree over n blocks, including pads: a
// power of two.
func treeWidth(n int64) int64 {
	if n <= 1 {
		return 1
	}
	return 1 << bits.Len64(uint64(n-1))
}

func log2(width int64) int { return bits.TrailingZeros64(uint64(width)) }

// merkle computes the root above the nodes of one layer, which are added in order.
type merkle struct {
	n    int64
	left [64]Root // left[k] waits for its sibling if bit k of n is set
}

func (m *merkle) add(node Root) {
	k := 0
	for ; m.n>>k&1 == 1; k++ {
		node = join2(m.left[k], node)
	}
	m.left[k] = node
	m.n++
}

// root returns the root of a tree with width nodes of height base; missing nodes are
// pads.
func (m *merkle) root(width int64, base int) Root {
	top := log2(width)
	if m.n == width {
		return m.left[top]
	}
	var node Root
	begun := false
	for k := range top {
		set := m.n>>k&1 == 1
		switch {
		case begun && set:
			node = join2(m.left[k], node)
		case begun:
			node = join2(node, padRoots[base+k])
		case set:
			node, begun = join2(m.left[k], padRoots[base+k]), true
		}
	}
	if !begun {
		return padRoots[base+top]
	}
	return node
}

// rootOf returns the root over the concatenated nodes of one layer at the given height.
func rootOf(layer []byte, width int64, base int) Root {
	var m merkle
	for ; len(layer) > 0; layer = layer[len(Root{}):] {
		m.add(Root(layer[:len(Root{})]))
	}
	return m.root(width, base)
}

// treeHash computes the root of the tree of the blocks written to it, up to width blocks.
type treeHash struct {
	width int64
	m     merkle
	block hash.Hash
	n     int        // bytes in block
	leaf  func(Root) // called for each leaf, if not nil
}

func newTreeHash(width int64) *treeHash { return &treeHash{width: width, block: sha256.New()} }

func (t *treeHash) Write(b []byte) (int, error) {
	size := len(b)
	for len(b) > 0 {
		if t.n == 0 && len(b) >= BlockSize {
			t.add(sha256.Sum256(b[:BlockSize]))
			b = b[BlockSize:]
			continue
		}
		k := min(len(b), BlockSize-t.n)
		t.block.Write(b[:k])
		b = b[k:]
		if t.n += k; t.n == BlockSize {
			t.flush()
		}
	}
	return size, nil
}

func (t *treeHash) flush() {
	if t.n == 0 {
		return
	}
	var r Root
	t.block.Sum(r[:0])
	t.block.Reset()
	t.n = 0
	t.add(r)
}

func (t *treeHash) add(leaf Root) {
	t.m.add(leaf)
	if t.leaf != nil {
		t.leaf(leaf)
	}
}

// root returns the root and ends the hash.
func (t *treeHash) root() Root {
	t.flush()
	return t.m.root(t.width, 0)
}
