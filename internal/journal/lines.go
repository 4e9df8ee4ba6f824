package journal

import (
	"bufio"
	"io"
)

// maxLine is the longest line that can be one of ours, in bytes.
const maxLine = MaxValue + 64

// lineReader reads lines, with their line breaks.
type lineReader struct {
	r    *bufio.Reader
	at   int64 // bytes read
	long []byte
}

func newLineReader(r io.Reader) *lineReader { return &lineReader{r: bufio.NewReaderSize(r, 256<<10)} }

// next returns the next line, which is valid until the next call, and its length. Of a line that is
// longer than maxLine it returns a part. The last line may lack its line break. At the end n is 0.
func (l *lineReader) next() (line []byte, n int64, err error) {
	l.long = l.long[:0]
	for {
		b, err := l.r.ReadSlice('\n')
		n += int64(len(b))
		l.at += int64(len(b))
		if err == nil && len(l.long) == 0 {
			return b, n, nil
		}
		if len(l.long)+len(b) <= maxLine {
			l.long = append(l.long, b...)
		}
		if err != bufio.ErrBufferFull {
			return l.long, n, err
		}
	}
}
