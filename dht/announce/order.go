package announce

import (
	"slices"
	"sort"

	"seedbed/internal/id"
)

// order is a set of records, sorted by key. It holds their numbers in chunks of bounded
// size, which takes a little more than four bytes for each.
type order struct {
	items  *slab
	chunks [][]uint32 // none of them empty
	n      int
}

const chunkSize = 128

// place returns the position at which the key is or belongs: the chunk, and the index in
// it.
func (o *order) place(key id.ID) (c, at int, found bool) {
	c = sort.Search(len(o.chunks), func(c int) bool {
		return o.items.at(o.chunks[c][0]).key.Cmp(key) > 0
	})
	c = max(c-1, 0)
	if c == len(o.chunks) {
		return c, 0, false
	}
	at, found = slices.BinarySearchFunc(o.chunks[c], key, func(i uint32, key id.ID) int {
		return o.items.at(i).key.Cmp(key)
	})
	return c, at, found
}

func (o *order) find(key id.ID) (i uint32, ok bool) {
	c, at, ok := o.place(key)
	if !ok {
		return 0, false
	}
	return o.chunks[c][at], true
}

// insert adds a record that is not in the set.
func (o *order) insert(i uint32) {
	o.n++
	c, at, _ := o.place(o.items.at(i).key)
	if c == len(o.chunks) {
		o.chunks = append(o.chunks, append(make([]uint32, 0, chunkSize), i))
		return
	}
	if len(o.chunks[c]) == chunkSize {
		half := append(make([]uint32, 0, chunkSize), o.chunks[c][chunkSize/2:]...)
		o.chunks[c] = o.chunks[c][:chunkSize/2]
		o.chunks = slices.Insert(o.chunks, c+1, half)
		if at > chunkSize/2 {
			c, at = c+1, at-chunkSize/2
		}
	}
	o.chunks[c] = slices.Insert(o.chunks[c], at, i)
}

func (o *order) remove(key id.ID) {
	c, at, ok := o.place(key)
	if !ok {
		return
	}
	o.n--
	o.chunks[c] = slices.Delete(o.chunks[c], at, at+1)
	if len(o.chunks[c]) == 0 {
		o.chunks = slices.Delete(o.chunks, c, c+1)
	}
}

// after returns the first record whose key is greater than the given one, or else the first
// of all. The set must not be empty.
func (o *order) after(key id.ID) uint32 {
	c, at, found := o.place(key)
	if found {
		at++
	}
	if at == len(o.chunks[c]) {
		c, at = c+1, 0
	}
	if c == len(o.chunks) {
		c = 0
	}
	return o.chunks[c][at]
}
