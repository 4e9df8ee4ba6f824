package swarm

import (
	"seedbed/internal/bitset"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/engine"
)

// This file keeps blocks of an earlier version that are in the files, at the place of the new ones.

// compare reads an outdated piece and reports which of its blocks have the given hashes.
func (t *Torrent) compare(block engine.Block, leaves []metainfo.Root) {
	ev := &engine.EvCompared{Piece: block.Piece}
	p := int(block.Piece)
	have, err := t.leavesOf(p)
	if err != nil {
		t.storageFailed(err, item{ev: ev})
		return
	}
	for i := range have {
		if i < len(leaves) && have[i] == leaves[i] {
			if ev.Kept.Len() == 0 {
				ev.Kept = bitset.New(len(have))
			}
			ev.Kept.Add(i)
		}
	}
	t.inbox.post(item{ev: ev})
}

// leavesOf reads a piece and hashes its blocks.
func (t *Torrent) leavesOf(p int) (leaves []metainfo.Root, err error) {
	b := make([]byte, min(t.info.DataSize(p), leavesRead))
	off, size := int64(p)*t.info.PieceLength, t.info.DataSize(p)
	for size > 0 {
		b = b[:min(size, int64(len(b)))]
		if err := t.readAt(t.ctx, b, off); err != nil {
			return nil, err
		}
		leaves = metainfo.Leaves(leaves, b)
		off, size = off+int64(len(b)), size-int64(len(b))
	}
	return leaves, nil
}

// runs yields the ranges of consecutive blocks of the chunk that are kept, or that are not, in bytes
// from the beginning of the chunk.
func (j *storeJob) runs(kept bool, yield func(from, to int) error) error {
	first, n := int(j.block.Begin)/metainfo.BlockSize, int(j.block.Length)
	is := func(at int) bool { return j.kept.Len() > 0 && j.kept.Has(first+at/metainfo.BlockSize) }
	for at := 0; at < n; {
		end := at
		for end < n && is(end) == is(at) {
			end += metainfo.BlockSize
		}
		end = min(end, n)
		if is(at) == kept {
			if err := yield(at, end); err != nil {
				return err
			}
		}
		at = end
	}
	return nil
}

// readKept reads the kept blocks from the files into the buffer.
func (j *storeJob) readKept() error {
	if j.kept.Len() == 0 {
		return nil
	}
	return j.runs(true, func(from, to int) error { return j.t.content.Storage.ReadAt(j.data()[from:to], j.offset()+int64(from)) })
}

// writeNew writes what the files do not have yet.
func (j *storeJob) writeNew(mem []byte) error {
	return j.runs(false, func(from, to int) error { return j.t.write(mem[from:to], j.offset()+int64(from)) })
}
