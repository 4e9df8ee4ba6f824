package objectstore

import (
	"bytes"
	"context"
	"crypto/md5"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"seedbed/internal/await"
)

// Stores that keep the ETag and the content of an object in different places may send the old content with the new ETag while
// the object is replaced (versitygw with --sidecar). A write on the condition of that ETag would undo what the reader has not seen.
// In most stores the ETag of a small object is the MD5 of its content, so that the mismatch shows.

const (
	// tornTries is how often an object is read whose ETag is not the MD5 of its content, and tornPause the first pause, which doubles.
	tornTries = 5
	tornPause = 50 * time.Millisecond
)

var errTorn = errors.New("the store sends an ETag that is not that of the content")

// etags says what the ETags of small objects are.
type etags struct{ isKnown, areMD5 atomic.Bool }

// note learns from the ETag of an object that was written.
func (e *etags) note(etag string, content []byte) {
	e.areMD5.Store(isMD5(etag, content))
	e.isKnown.Store(true)
}

func isMD5(etag string, content []byte) bool {
	sum := md5.Sum(content)
	return strings.EqualFold(strings.TrimPrefix(etag, weak), hex.EncodeToString(sum[:]))
}

// Load reads a small object as a whole. The error is of kind Unsupported if it has more than limit bytes, and of kind Changed if it is
// replaced meanwhile.
func (s *Store) Load(ctx context.Context, name string, limit int64) ([]byte, Object, error) {
	pause := tornPause
	for try := 1; ; try++ {
		b, o, err := s.loadOnce(ctx, name, limit)
		if err != nil || o.Size == 0 || isMD5(o.ETag, b) || s.etags.isKnown.Load() && !s.etags.areMD5.Load() {
			return b, o, err
		}
		if try == tornTries {
			if s.etags.areMD5.Load() {
				return nil, o, &Error{Op: "read", Name: s.at.Name(name), Kind: Changed, Err: errTorn}
			}
			return b, o, nil // the store encrypts, or has other ETags
		}
		if err := await.Sleep(ctx, pause); err != nil {
			return nil, o, s.fail(ctx, "read", name, err)
		}
		pause *= 2
	}
}

func (s *Store) loadOnce(ctx context.Context, name string, limit int64) ([]byte, Object, error) {
	o, err := s.Stat(ctx, name)
	if err != nil || o.Size == 0 {
		return nil, o, err
	}
	if o.Size > limit {
		return nil, o, &Error{Op: "read", Name: s.at.Name(name), Kind: Unsupported, Err: fmt.Errorf("it has %d bytes, and at most %d are read", o.Size, limit)}
	}
	b, err := s.readAll(ctx, o)
	return b, o, err
}

// allTries is how often ReadAll reads an object at most.
const allTries = 3

// ReadAll reads the whole of an object that was listed, without looking at it before. If the ETag has the form of an MD5, and is not that of the
// content, a fault on the way may have changed what has come. Then the object is read until the same comes twice, as from a store with other
// ETags. If it never does, the error is of kind Changed.
func (s *Store) ReadAll(ctx context.Context, o Object) ([]byte, error) {
	var before []byte
	for range allTries {
		b, err := s.readAll(ctx, o)
		if err != nil || !looksLikeMD5(o.ETag) || isMD5(o.ETag, b) || before != nil && bytes.Equal(b, before) {
			return b, err
		}
		before = b
	}
	return nil, &Error{Op: "read", Name: s.at.Name(o.Name), Kind: Changed, Err: errTorn}
}

// looksLikeMD5 reports whether an ETag may be the MD5 of the content. That of an upload in parts also has the number of these.
func looksLikeMD5(etag string) bool {
	b, err := hex.DecodeString(strings.TrimPrefix(etag, weak))
	return err == nil && len(b) == md5.Size
}

// readAll reads the whole of an object once.
func (s *Store) readAll(ctx context.Context, o Object) ([]byte, error) {
	r, _, err := s.Read(ctx, o, 0, o.Size)
	if err != nil {
		return nil, err
	}
	defer r.Close()
	b := make([]byte, o.Size)
	if _, err := io.ReadFull(r, b); err != nil {
		return nil, err
	}
	return b, nil
}
