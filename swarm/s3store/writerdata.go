package s3store

// The data of a torrent that is being downloaded into a store: pieces that are only in the store are read there, and the others are
// local. When all files are uploaded, everything is in the store.

// Fetch implements swarm.Remote.
func (w *Writer) Fetch(off, n int64, ready func(error), wanted func() bool) bool {
	for end := off + n; off < end; {
		to, isStored := w.stretch(off, end)
		if isStored && !w.remote.Fetch(off, to-off, ready, wanted) {
			return false
		}
		off = to
	}
	return true
}

// stretch returns how far a range up to end is only in the store, or not, and which.
func (w *Writer) stretch(off, end int64) (to int64, isStored bool) {
	if w.isInBucket.Load() {
		return end, true
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	size := w.o.Info.PieceLength
	p := off / size
	isStored = w.stored.Has(int(p))
	for p++; p*size < end && w.stored.Has(int(p)) == isStored; {
		p++
	}
	return min(p*size, end), isStored
}

// ReadAt reads a range that Fetch has reported to be there.
func (w *Writer) ReadAt(b []byte, off int64) error {
	w.places.RLock()
	defer w.places.RUnlock()
	for len(b) > 0 {
		to, isStored := w.stretch(off, off+int64(len(b)))
		part, read := b[:to-off], w.o.Local.ReadAt
		if isStored {
			read = w.remote.ReadAt
		}
		if err := read(part, off); err != nil {
			return err
		}
		b, off = b[len(part):], to
	}
	return nil
}

// WriteAt writes to the local data.
func (w *Writer) WriteAt(b []byte, off int64) error {
	w.places.RLock()
	defer w.places.RUnlock()
	if w.isInBucket.Load() {
		return w.remote.WriteAt(b, off)
	}
	return w.o.Local.WriteAt(b, off)
}

// MarkChunk records a part of a piece that was written.
func (w *Writer) MarkChunk(p int, begin uint32, b []byte) {
	w.places.RLock()
	defer w.places.RUnlock()
	if !w.isInBucket.Load() {
		w.o.Local.MarkChunk(p, begin, b)
	}
}

// Flush syncs the local data.
func (w *Writer) Flush() error {
	w.places.RLock()
	defer w.places.RUnlock()
	if w.isInBucket.Load() {
		return nil
	}
	return w.o.Local.Flush()
}
