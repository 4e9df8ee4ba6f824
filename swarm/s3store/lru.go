package s3store

// lru is a list of blocks from the least to the most recently used one. A block costs 32 bytes and an entry of a map, which is why
// it is not one of the common libraries: there are millions of blocks.
type lru struct {
	index   map[blockKey]int32
	entries []lruEntry // entry 0 is before the first and after the last one
	free    int32      // the first of the entries that are not in use, linked by next; 0 is none
}

type lruEntry struct {
	key        blockKey
	value      cached
	prev, next int32
}

func newLRU() *lru { return &lru{index: map[blockKey]int32{}, entries: make([]lruEntry, 1)} }

func (l *lru) len() int { return len(l.index) }

// get returns a block and makes it the most recently used one.
func (l *lru) get(k blockKey) (cached, bool) {
	i, ok := l.index[k]
	if !ok {
		return cached{}, false
	}
	l.unlink(i)
	l.link(i)
	return l.entries[i].value, true
}

// peek returns a block.
func (l *lru) peek(k blockKey) (cached, bool) {
	i, ok := l.index[k]
	return l.entries[i].value, ok
}

// set adds or replaces a block. It is the most recently used one.
func (l *lru) set(k blockKey, v cached) {
	i, ok := l.index[k]
	switch {
	case ok:
		l.unlink(i)
	case l.free != 0:
		i = l.free
		l.free = l.entries[i].next
	default:
		i = int32(len(l.entries))
		l.entries = append(l.entries, lruEntry{})
	}
	l.index[k] = i
	l.entries[i].key, l.entries[i].value = k, v
	l.link(i)
}

// remove removes a block, if there is one of that name.
func (l *lru) remove(k blockKey) (cached, bool) {
	i, ok := l.index[k]
	if !ok {
		return cached{}, false
	}
	v := l.entries[i].value
	l.unlink(i)
	delete(l.index, k)
	l.entries[i] = lruEntry{next: l.free}
	l.free = i
	return v, true
}

// oldest returns the key of the least recently used block.
func (l *lru) oldest() (blockKey, bool) { return l.entries[l.entries[0].next].key, l.len() > 0 }

// link puts an entry at the end.
func (l *lru) link(i int32) {
	last := l.entries[0].prev
	l.entries[i].prev, l.entries[i].next = last, 0
	l.entries[last].next, l.entries[0].prev = i, i
}

func (l *lru) unlink(i int32) {
	e := &l.entries[i]
	l.entries[e.prev].next, l.entries[e.next].prev = e.next, e.prev
}
