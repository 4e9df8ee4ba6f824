package s3store

import (
	"bytes"
	"crypto/md5"
	"encoding/hex"
	"fmt"
	"io"
	"strings"

	"seedbed/internal/objectstore"
	"seedbed/swarm/storage"
)

// OccupiedError is returned by Finish for a file whose object is there with other content. It is not overwritten.
type OccupiedError struct{ Name string }

func (e *OccupiedError) Error() string { return e.Name + " is there already, with other content" }

// Hint returns what a user can do about the error.
func (e *OccupiedError) Hint() string { return "remove the object, or use another prefix" }

// localFile reads a file of a torrent.
type localFile struct {
	s      *storage.Storage
	offset int64 // in the torrent
}

// ReadAt implements io.ReaderAt for ranges within the file.
func (f localFile) ReadAt(b []byte, off int64) (int, error) {
	if err := f.s.ReadAt(b, f.offset+off); err != nil {
		return 0, err
	}
	return len(b), nil
}

// take accepts the object that is there as that of a file if it has the same content, and aborts our own upload. If not, the error is
// an *OccupiedError, and the object is not read again until it has another ETag.
func (w *Writer) take(at place, o objectstore.Object, file int, u *upload) error {
	if o.ETag != "" && o.ETag == u.written {
		return nil
	}
	other := &OccupiedError{at.store.Location().Name(o.Name)}
	w.mu.Lock()
	known, found := w.occupied[file]
	w.mu.Unlock()
	if found && known == o.ETag && o.ETag != "" {
		return other
	}
	same, err := w.isSame(at, o, file, u)
	if err != nil {
		return err
	}
	w.mu.Lock()
	isOutdated := u.count != w.counts
	switch {
	case isOutdated:
	case same:
		delete(w.occupied, file)
	default:
		w.occupied[file] = o.ETag
	}
	w.mu.Unlock()
	if isOutdated {
		return errOutdated
	}
	if !same {
		return other
	}
	u.written = o.ETag
	return w.abortOwn(at, o.Name, file)
}

// A stretch is a part of a file.
type stretch struct{ from, to int64 }

// partsHere returns the parts of a file that are here, and whether others are only in the store.
func (w *Writer) partsHere(file int) (here []stretch, isStored bool) {
	f := &w.o.Info.Files[file]
	for off := f.Offset; off < f.Offset+f.Length; {
		to, stored := w.stretch(off, f.Offset+f.Length)
		if stored {
			isStored = true
		} else {
			here = append(here, stretch{off - f.Offset, to - f.Offset})
		}
		off = to
	}
	return here, isStored
}

// isSame reports whether an object has the content of a file. It is read only if its ETag does not tell, and only the pieces that were
// not hashed in it before.
func (w *Writer) isSame(at place, o objectstore.Object, file int, u *upload) (bool, error) {
	f := &w.o.Info.Files[file]
	if o.Size != f.Length || o.Size == 0 {
		return o.Size == f.Length, nil
	}
	data := localFile{w.o.Local, f.Offset}
	here, isStored := w.partsHere(file)
	if isStored {
		if !w.remote.isListed(file, o) {
			return false, w.remote.changed(f.Offset, 1)
		}
	} else if tag, err := likelyETag(data, o); err != nil || strings.EqualFold(tag, o.ETag) {
		return err == nil, err
	}
	if u.etag != o.ETag || o.ETag == "" {
		u.etag, u.compared = o.ETag, 0
	}
	for _, part := range here {
		if same, err := w.compare(at, o, data, part, u); !same {
			return false, err
		}
	}
	return true, nil
}

// isListed reports whether an object is the one that was listed last.
func (s *Storage) isListed(file int, o objectstore.Object) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.objects[file].etag == hashETag(o.ETag)
}

// compare reports whether a part of an object is that of a file. It goes on where an earlier attempt has ended.
func (w *Writer) compare(at place, o objectstore.Object, data localFile, part stretch, u *upload) (bool, error) {
	u.compared = max(u.compared, part.from)
	if u.compared >= part.to {
		return true, nil
	}
	body, _, err := at.store.Read(w.ctx, o, u.compared, part.to-u.compared)
	if err != nil {
		return false, err
	}
	defer body.Close()
	theirs, ours := make([]byte, bufferSize), make([]byte, bufferSize)
	for u.compared < part.to {
		n := min(bufferSize, part.to-u.compared)
		got, err := io.ReadFull(body, theirs[:n])
		w.remote.compared.Add(int64(got))
		if err != nil {
			return false, err
		}
		if _, err := data.ReadAt(ours[:n], u.compared); err != nil {
			return false, err
		}
		if !bytes.Equal(ours[:n], theirs[:n]) {
			return false, nil
		}
		u.compared += n
	}
	return true, nil
}

// likelyETag returns the ETag that most stores give an object with this data: its MD5, or the MD5 of the MD5s of its parts and
// their number, if the object has as many parts as we write. It is "" if the object's ETag has another form.
func likelyETag(data io.ReaderAt, o objectstore.Object) (string, error) {
	sum, parts, isMultipart := strings.Cut(o.ETag, "-")
	if len(sum) != 2*md5.Size {
		return "", nil
	}
	if !isMultipart {
		sum, err := objectstore.MD5(data, o.Size)
		return hex.EncodeToString(sum[:]), err
	}
	per := partSizeFor(o.Size)
	n := (o.Size + per - 1) / per
	if parts != fmt.Sprint(n) {
		return "", nil
	}
	all := md5.New()
	for off := int64(0); off < o.Size; off += per {
		size := min(per, o.Size-off)
		sum, err := objectstore.MD5(io.NewSectionReader(data, off, size), size)
		if err != nil {
			return "", err
		}
		all.Write(sum[:])
	}
	return fmt.Sprintf("%x-%d", all.Sum(nil), n), nil
}
