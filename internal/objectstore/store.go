package objectstore

import (
	"bytes"
	"context"
	"iter"
	"net/http"
	"net/netip"
	"net/url"
	"path"
	"strings"
	"sync/atomic"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// A Store is a place in an object store. Names of objects are relative to its prefix. Its methods may be called
// concurrently.
type Store struct {
	at        Location
	core      *minio.Core
	transport *http.Transport
	endpoint  *url.URL
	style     Style
	counts    *counters
	pace      *pace
	etags     *etags
	use       *Usage // of For; may be nil

	lookup      func(ctx context.Context, host string) ([]netip.Addr, error)
	isAnonymous bool
	creds       *credentials.Credentials // nil if isAnonymous
}

// An Object is what the store says about an object.
type Object struct {
	Name     string // relative to the prefix
	Size     int64
	ETag     string // changes with the content
	Modified time.Time
}

// Location returns the place in the store.
func (s *Store) Location() Location { return s.at }

// Parent returns the store at the folder that contains this place, and the name of the place in it. A whole bucket has no
// parent.
func (s *Store) Parent() (parent *Store, name string, ok bool) {
	if s.at.Prefix == "" {
		return nil, "", false
	}
	folder, name := path.Split(strings.TrimSuffix(s.at.Prefix, "/"))
	return s.At(folder), name, true
}

// At returns the store at another prefix of the same bucket.
func (s *Store) At(prefix string) *Store {
	other := *s
	other.at.Prefix = prefix
	return &other
}

// Close closes the connections that are not in use.
func (s *Store) Close() { s.transport.CloseIdleConnections() }

// object converts the library's description of an object.
func (s *Store) object(o *minio.ObjectInfo) Object {
	return Object{Name: strings.TrimPrefix(o.Key, s.at.Prefix), Size: o.Size, ETag: o.ETag, Modified: o.LastModified}
}

// Stat returns what the store says about an object.
func (s *Store) Stat(ctx context.Context, name string) (Object, error) {
	ctx, watch := watched(ctx)
	defer watch.stop()
	s.request(&s.counts.heads)
	o, err := s.core.StatObject(ctx, s.at.Bucket, s.at.Prefix+name, minio.StatObjectOptions{})
	if err != nil {
		return Object{}, s.fail(ctx, "find", name, s.explain(ctx, name, err))
	}
	if o.Size < 0 {
		return Object{}, s.fail(ctx, "find", name, errNoSize)
	}
	o.Key = s.at.Prefix + name
	return s.object(&o), nil
}

// List yields the objects whose names begin with prefix, in the order of their names. It ends after the first error.
func (s *Store) List(ctx context.Context, prefix string) iter.Seq2[Object, error] {
	return func(yield func(Object, error) bool) {
		ctx, watch := watched(ctx)
		defer watch.stop()
		n, mark, name := 0, 1, ""
		for o := range s.core.ListObjectsIter(ctx, s.at.Bucket, minio.ListObjectsOptions{Prefix: s.at.Prefix + prefix, Recursive: true}) {
			if n%listPage == 0 {
				s.request(&s.counts.lists)
			}
			n++
			if o.Err == nil && o.Key == name {
				o.Err = errLoop
			}
			if o.Err == nil && o.Size < 0 {
				o.Err = errNoSize
			}
			if o.Err != nil {
				yield(Object{}, s.fail(ctx, "list", prefix, o.Err))
				return
			}
			// A store may answer with the same page for ever. Not all stores list in the same order. So one name is kept,
			// and must not come again; it is replaced at growing distances (Brent).
			if n == mark {
				mark, name = 2*mark, o.Key
			}
			if !strings.HasPrefix(o.Key, s.at.Prefix+prefix) {
				continue
			}
			watch.pause()
			if !yield(s.object(&o), nil) {
				return
			}
			watch.progress()
		}
		if ctx.Err() != nil {
			yield(Object{}, s.fail(ctx, "list", prefix, ctx.Err()))
		}
	}
}

// listPage is how many objects, or parts, a store lists in one answer.
const listPage = 1000

// A Condition says when an object may be written.
type Condition struct {
	Absent bool   // only if there is no such object
	ETag   string // only if the object has this ETag
}

// apply adds the condition to a write.
func (c Condition) apply(opts *minio.PutObjectOptions) {
	switch {
	case c.Absent:
		opts.SetMatchETagExcept("*")
	case c.ETag != "":
		opts.SetMatchETag(c.ETag)
	}
}

// Write writes a small object at once and returns its ETag. If the condition does not hold, nothing is written and the
// error is of kind Changed. That is also possible after a write whose answer was lost: read the object to find out. A write with a
// condition whose answer has no ETag is as one whose answer was lost.
func (s *Store) Write(ctx context.Context, name string, data []byte, contentType string, when Condition) (etag string, err error) {
	ctx, watch := watched(ctx)
	defer watch.stop()
	// The signed MD5 takes the place of a signed hash of the content. Not all stores know the encoding in chunks that a streamed
	// hash needs.
	opts := minio.PutObjectOptions{ContentType: contentType, SendContentMd5: true, DisableContentSha256: true, DisableMultipart: true, Progress: sending{watch}}
	when.apply(&opts)
	s.request(&s.counts.puts)
	info, err := s.core.Client.PutObject(ctx, s.at.Bucket, s.at.Prefix+name, bytes.NewReader(data), int64(len(data)), opts)
	if err != nil {
		return "", s.fail(ctx, "write", name, err)
	}
	if info.ETag == "" && when != (Condition{}) { // of something before the store that answers everything with a page of its own
		return "", s.fail(ctx, "write", name, errNoETag)
	}
	s.counts.written.Add(int64(len(data)))
	s.etags.note(info.ETag, data)
	return info.ETag, nil
}

// Remove removes an object. It returns no error if there is no such object.
func (s *Store) Remove(ctx context.Context, name string) error {
	ctx, watch := watched(ctx)
	defer watch.stop()
	s.request(&s.counts.puts)
	if err := s.core.RemoveObject(ctx, s.at.Bucket, s.at.Prefix+name, minio.RemoveObjectOptions{}); err != nil {
		return s.fail(ctx, "remove", name, err)
	}
	return nil
}

// counters count what is asked of a store.
type counters struct {
	gets, heads, lists, puts, failed, read, written atomic.Int64
}

// Counts is what was asked of a store since it was opened.
type Counts struct {
	Gets, Heads, Lists, Puts int64 // requests
	Failed                   int64 // requests that the store did not answer as it should
	Read, Written            int64 // bytes
}

// Counts returns what was asked of the store.
func (s *Store) Counts() Counts {
	c := s.counts
	return Counts{c.gets.Load(), c.heads.Load(), c.lists.Load(), c.puts.Load(), c.failed.Load(), c.read.Load(), c.written.Load()}
}

// Usage is what one user of a store has asked of it.
type Usage struct {
	Requests atomic.Int64 // of all kinds
	Read     atomic.Int64 // bytes
}

// For returns the same place in the store for a user: what is asked of it is also counted in use.
func (s *Store) For(use *Usage) *Store {
	to := *s
	to.use = use
	return &to
}

// request counts a request.
func (s *Store) request(kind *atomic.Int64) {
	kind.Add(1)
	if s.use != nil {
		s.use.Requests.Add(1)
	}
}

// watch ends a request for which the store does nothing. It is paused while the caller of this package works, which may take long.
type watch struct {
	timer  *time.Timer
	cancel context.CancelCauseFunc
}

func watched(ctx context.Context) (context.Context, *watch) {
	ctx, cancel := context.WithCancelCause(ctx)
	w := &watch{cancel: cancel}
	w.timer = time.AfterFunc(Patience, func() { cancel(errSilent) })
	return ctx, w
}

func (w *watch) progress() { w.timer.Reset(Patience) }

func (w *watch) pause() { w.timer.Stop() }

func (w *watch) stop() {
	w.timer.Stop()
	w.cancel(context.Canceled)
}

// sending is told what is sent, as a Reader, and tells a watch.
type sending struct{ watch *watch }

// Read implements io.Reader.
func (s sending) Read(b []byte) (int, error) {
	s.watch.progress()
	return len(b), nil
}
