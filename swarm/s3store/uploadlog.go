package s3store

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"sync"

	"seedbed/internal/statefile"
)

// uploadLog remembers the uploads of a torrent over restarts, as lines of a file. A line that was lost or cut costs an
// upload, or a comparison with the object.
//
//	open FILE "ID"    the upload of a file has begun
//	done FILE "HASH"  the store has the object, and this is its hashETag
//	lost FILE ""      the object is not as it was written
//	same FILE "HASH"  the object with this hashETag, which was there before, has the right hashes
//	stray FILE ""     the store may have an upload of the file that we do not know, or do not need
type uploadLog struct {
	mu   sync.Mutex
	file *os.File
	open map[int]string // by file: the id of its upload
	done map[int]uint64 // hashes of the ETags of objects that are complete, by file
	// strays has the files of which the store may have other uploads than open.
	strays map[int]bool
	same   map[int]uint64 // hashes of ETags, by file
}

// openUploadLog opens the log in a folder, which is created.
func openUploadLog(dir string) (*uploadLog, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	l := &uploadLog{open: map[int]string{}, done: map[int]uint64{}, strays: map[int]bool{}, same: map[int]uint64{}}
	path := filepath.Join(dir, "uploads")
	var err error
	if l.file, err = statefile.OpenAppend(path, true); err != nil {
		return nil, err
	}
	if err := l.load(); err != nil {
		return nil, errors.Join(err, l.file.Close())
	}
	return l, nil
}

// longestLine is how long a line may be in bytes. The store chooses the ids of uploads.
const longestLine = 64 << 10

// load reads the file. Lines that are damaged or too long are left out.
func (l *uploadLog) load() error {
	lines := bufio.NewReaderSize(l.file, longestLine)
	for inLine := false; ; { // after the beginning of a line that is too long
		line, err := lines.ReadSlice('\n')
		switch {
		case err == bufio.ErrBufferFull:
			inLine = true
		case err == nil && inLine:
			inLine = false
		case err == nil:
			l.read(string(line))
		case err == io.EOF && (inLine || len(line) > 0): // a power cut has cut it; what is written now is a line of its own
			if !inLine {
				l.read(string(line)) // maybe only the end of the line is missing
			}
			_, err = l.file.WriteString("\n")
			return err
		case err == io.EOF:
			return nil
		default:
			return err
		}
	}
}

// read reads a line, unless it is damaged.
func (l *uploadLog) read(line string) {
	var what, id string
	var file int
	if n, _ := fmt.Sscanf(line, "%s %d %q\n", &what, &file, &id); n == 3 {
		l.note(what, file, id)
	}
}

func (l *uploadLog) note(what string, file int, id string) {
	if what == "same" {
		l.same[file], _ = strconv.ParseUint(id, 16, 64)
		return
	}
	delete(l.open, file)
	delete(l.done, file)
	switch what {
	case "open":
		l.open[file] = id
	case "done":
		if etag, err := strconv.ParseUint(id, 16, 64); err == nil {
			l.done[file] = etag
			delete(l.strays, file)
		}
	case "stray":
		l.strays[file] = true
	}
}

func (l *uploadLog) write(what string, file int, id string) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.note(what, file, id)
	_, err := fmt.Fprintf(l.file, "%s %d %q\n", what, file, id)
	return err
}

// began records an upload, on the disk: without its id, nobody would abort it after a power cut.
func (l *uploadLog) began(file int, id string) error {
	if err := l.write("open", file, id); err != nil {
		return err
	}
	return l.file.Sync()
}

// finished records that the store has the object of a file.
func (l *uploadLog) finished(file int, etag uint64) error {
	return l.write("done", file, strconv.FormatUint(etag, 16))
}

func (l *uploadLog) forget(file int) error { return l.write("lost", file, "") }

// noteHashed records that an object that was there before has the right hashes.
func (l *uploadLog) noteHashed(file int, etag uint64) error {
	return l.write("same", file, strconv.FormatUint(etag, 16))
}

// hashed returns the hashETag of the object that noteHashed was called with, or 0.
func (l *uploadLog) hashed(file int) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.same[file]
}

// strayed records that the store may have an upload of a file that is not the one we go on with.
func (l *uploadLog) strayed(file int) error {
	if l.openUpload(file) == "" && l.isStray(file) { // so a store that fails for hours does not fill the log
		return nil
	}
	return l.write("stray", file, "")
}

// isStray reports whether strayed was called and the file is not finished.
func (l *uploadLog) isStray(file int) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.strays[file]
}

// uploaded returns the hashETag of the object that finished was called with, or 0.
func (l *uploadLog) uploaded(file int) uint64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.done[file]
}

// openUpload returns the id of the upload of a file, or "".
func (l *uploadLog) openUpload(file int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.open[file]
}

// isOpen reports whether an upload is one of this log.
func (l *uploadLog) isOpen(id string) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, open := range l.open {
		if open == id {
			return true
		}
	}
	return false
}

func (l *uploadLog) close() error { return l.file.Close() }
