package peerconn

import "slices"

// upload sends the first waiting blocks, as many as fit into a batch. Only this function
// moves bytes from storage to a socket.
//
// There are few batches, and they are shared, so none is held while a slow peer accepts
// nothing: what is not accepted at once is read again later, except for the rest of a
// block that was cut off.
func (s *sender) upload() error {
	batches := &s.c.Resources.batches
	m := batches.get()
	defer batches.put(m)

	s.mu.Lock()
	n := s.admitted()
	m.want = m.want[:0]
	for i := range n {
		m.want = append(m.want, s.uploads.At(i).Block)
	}
	s.reading = n
	s.mu.Unlock()
	if n == 0 { // all blocks were withdrawn
		return nil
	}

	if err := s.read(m); err != nil {
		lost := m.want[:max(1, contiguousBlocks(m.want, batchBytes, s.c.Owner.PieceLength()))]
		s.c.Owner.Unread(lost, err)
		s.done(len(lost), false)
		return nil
	}
	if s.c.crypt != nil {
		for _, b := range m.segments {
			s.encrypt(b)
		}
	}
	sent, err := s.write(m.segments)
	if err != nil {
		return err
	}
	whole, cut := m.completeBlocks(sent)
	begun := s.mustFollow(m, whole, cut)
	s.adapt(sent, whole == len(m.blocks))
	if whole > 0 {
		s.c.Owner.Uploaded(m.blocks[:whole])
	}
	if begun > 0 {
		s.restBlocks = slices.Clone(m.blocks[whole : whole+begun])
		s.rest = m.appendStream(nil, sent, sent-cut+messageBytes(s.restBlocks))
	}
	s.done(whole+begun, true)
	return nil
}

// mustFollow returns how many blocks after the complete ones must be sent as they are:
// the one that was cut off; the first one if nothing was accepted; or all of them if they
// are encrypted.
func (s *sender) mustFollow(m *batch, whole, cut int) int {
	switch left := len(m.blocks) - whole; {
	case left == 0:
		return 0
	case s.c.crypt != nil:
		return left
	case cut > 0 || whole == 0:
		return 1
	}
	return 0
}

// done removes the first n blocks, which were sent or cannot be.
func (s *sender) done(n int, sent bool) {
	s.mu.Lock()
	for range n {
		if u := s.uploads.Pop(); !sent {
			s.release(&u)
		}
	}
	s.reading = 0
	s.mu.Unlock()
}

// adapt adjusts the batch size to what the peer accepts.
func (s *sender) adapt(sent int, all bool) {
	least, most := minBatchBytes, batchBytes
	if s.c.crypt != nil {
		least, most = 1, maxEncryptedBytes
	}
	if all {
		s.batch = min(2*s.batch, most)
	} else {
		s.batch = max(min(sent, s.batch), least)
	}
}

// read fills m with the first of m.want, reading contiguous blocks at once. It fails if
// the first block cannot be read; later ones are tried in the next batch.
func (s *sender) read(m *batch) error {
	pieceLength := s.c.Owner.PieceLength()
	m.reset()
	limit := max(s.batch, int(m.want[0].Length))
	for blocks := m.want; len(blocks) > 0; {
		k := contiguousBlocks(blocks, limit, pieceLength)
		if k == 0 {
			break
		}
		first := blocks[0]
		err := m.add(blocks[:k], func(b []byte) error {
			limit -= len(b)
			return s.c.Owner.ReadAt(b, int64(first.Piece)*pieceLength+int64(first.Begin))
		})
		if err != nil {
			if len(m.blocks) == 0 {
				return err
			}
			break
		}
		blocks = blocks[k:]
	}
	return nil
}
