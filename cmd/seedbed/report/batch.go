package report

import "io"

// maxBatch is the maximum size of a write with several lines, in bytes. Up to this size a write to a pipe is not mixed with
// what others write to it (PIPE_BUF, pipe(7)), such as logs on a stderr that leads to the same pipe.
const maxBatch = 4096

// A batcher passes lines on to w. While it is held, it passes several on in one write: 100,000 torrents that start have
// 500,000 lines, and writing them one by one takes as long as their files. It is not safe for concurrent use.
type batcher struct {
	w      io.Writer
	isHeld bool
	lines  []byte // held back
}

// Write passes on one line, or holds it back.
func (b *batcher) Write(line []byte) (int, error) {
	if !b.isHeld {
		return b.w.Write(line)
	}
	if len(b.lines) > 0 && len(b.lines)+len(line) > maxBatch {
		if err := b.flush(); err != nil {
			return 0, err
		}
	}
	b.lines = append(b.lines, line...)
	return len(line), nil
}

// flush writes what is held back.
func (b *batcher) flush() error {
	if len(b.lines) == 0 {
		return nil
	}
	_, err := b.w.Write(b.lines)
	b.lines = b.lines[:0]
	return err
}
