package objectstore

import (
	"context"
	"crypto/md5"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
)

const (
	// MinPart is the minimum size of a part of an upload, except for the last one.
	MinPart = 5 << 20
	// MaxParts is the maximum number of parts of an upload.
	MaxParts = 10_000
	// MaxObject is the maximum size of an object in bytes: that of MaxParts parts of 5 GiB. Some stores take less.
	MaxObject = MaxParts * 5 << 30

	// buffered is how much of a part the system may have taken before it is sent, in bytes.
	buffered = 8 << 20
	// minRate is the rate at which that is sent at least, in bytes per second.
	minRate = 64 << 10
	// completeTime is how long the store may take to make an object of its parts: it may copy them.
	completeTime = 10 * time.Minute
)

// An Upload is an object that is written in parts. Nobody sees it before Complete.
type Upload struct {
	s    *Store
	Name string // of the object
	ID   string // with which Resume continues it
}

// A Part is a part of an Upload that the store has.
type Part struct {
	Number   int // from 1
	Size     int64
	ETag     string    // as the store calls the content; often its MD5, but not if the store encrypts it
	Modified time.Time // if the part was listed
}

// HasMD5 reports whether the ETag says that the content has this MD5.
func (p Part) HasMD5(sum [md5.Size]byte) bool {
	return strings.EqualFold(p.ETag, hex.EncodeToString(sum[:]))
}

// Begin begins an upload.
func (s *Store) Begin(ctx context.Context, name, contentType string) (*Upload, error) {
	ctx, watch := watched(ctx)
	defer watch.stop()
	s.request(&s.counts.puts)
	id, err := s.core.NewMultipartUpload(ctx, s.at.Bucket, s.at.Prefix+name, minio.PutObjectOptions{ContentType: contentType})
	if err == nil && id == "" {
		err = errNoUpload
	}
	if err != nil {
		return nil, s.fail(ctx, "write", name, err)
	}
	return &Upload{s, name, id}, nil
}

// Resume continues an upload of an earlier run.
func (s *Store) Resume(name, id string) *Upload { return &Upload{s, name, id} }

// Write writes a part, which it reads twice: for its MD5, and then to send it. The store compares the MD5 with that of what has arrived.
// A slow line may take some minutes to send what the system has buffered.
func (u *Upload) Write(ctx context.Context, number int, data io.ReaderAt, size int64) (Part, error) {
	sum, err := MD5(data, size)
	if err != nil {
		return Part{}, err
	}
	ctx, watch := watched(ctx)
	defer watch.stop()
	r := &watchedReader{r: io.NewSectionReader(data, 0, size), watch: watch, patience: sendTime(size)}
	u.s.request(&u.s.counts.puts)
	got, err := u.s.core.PutObjectPart(ctx, u.s.at.Bucket, u.s.at.Prefix+u.Name, u.ID, number, r, size,
		minio.PutObjectPartOptions{Md5Base64: base64.StdEncoding.EncodeToString(sum[:]), DisableContentSha256: true}) // the signed MD5 takes its place
	if r.err != nil {
		return Part{}, r.err
	}
	if err != nil {
		return Part{}, u.s.fail(ctx, "write", u.Name, err)
	}
	u.s.counts.written.Add(size)
	return Part{Number: number, Size: size, ETag: strings.Trim(got.ETag, `"`)}, nil
}

// sendTime returns how long the store may seem to take nothing of a part: a line that is slow empties the buffers of the system
// before they take more.
func sendTime(size int64) time.Duration {
	return Patience + time.Duration(min(size, buffered))*time.Second/minRate
}

// MD5 returns the MD5 of the first size bytes of data.
func MD5(data io.ReaderAt, size int64) (sum [md5.Size]byte, err error) {
	h := md5.New()
	_, err = io.Copy(h, io.NewSectionReader(data, 0, size))
	return [md5.Size]byte(h.Sum(nil)), err
}

// watchedReader tells a watch that the store takes data.
type watchedReader struct {
	r        io.Reader
	watch    *watch
	patience time.Duration // from now on
	err      error         // why the data could not be read
}

func (r *watchedReader) Read(b []byte) (int, error) {
	r.watch.timer.Reset(r.patience)
	n, err := r.r.Read(b)
	if err != nil && err != io.EOF {
		r.err = err
	}
	return n, err
}

// Parts returns the parts that the store has.
func (u *Upload) Parts(ctx context.Context) (parts []Part, err error) {
	ctx, watch := watched(ctx)
	defer watch.stop()
	for marker := 0; ; {
		u.s.request(&u.s.counts.lists)
		r, err := u.s.core.ListObjectParts(ctx, u.s.at.Bucket, u.s.at.Prefix+u.Name, u.ID, marker, listPage)
		if err != nil {
			return nil, u.s.fail(ctx, "list", u.Name, err)
		}
		watch.progress()
		for _, o := range r.ObjectParts {
			if o.PartNumber < 1 || o.PartNumber > MaxParts || o.Size < 0 || len(parts) == MaxParts {
				return nil, u.s.fail(ctx, "list", u.Name, errParts)
			}
			parts = append(parts, Part{Number: o.PartNumber, Size: o.Size, ETag: strings.Trim(o.ETag, `"`), Modified: o.LastModified})
		}
		if !r.IsTruncated {
			return parts, nil
		}
		if r.NextPartNumberMarker <= marker {
			return nil, u.s.fail(ctx, "list", u.Name, errLoop)
		}
		marker = r.NextPartNumberMarker
	}
}

// Complete makes the object of its parts, in the order of their numbers. If the condition does not hold, the error is of
// kind Changed. It can take 10 minutes.
func (u *Upload) Complete(ctx context.Context, parts []Part, when Condition) (etag string, err error) {
	ctx, watch := watched(ctx)
	defer watch.stop()
	watch.timer.Reset(completeTime)
	list := make([]minio.CompletePart, len(parts))
	for i, p := range parts {
		list[i] = minio.CompletePart{PartNumber: p.Number, ETag: p.ETag}
	}
	var opts minio.PutObjectOptions
	when.apply(&opts)
	u.s.request(&u.s.counts.puts)
	info, err := u.s.core.CompleteMultipartUpload(ctx, u.s.at.Bucket, u.s.at.Prefix+u.Name, u.ID, list, opts)
	if err != nil {
		return "", u.s.fail(ctx, "write", u.Name, err)
	}
	return info.ETag, nil
}

// LacksConditions reports whether an error says that the store does not know the conditions of writes. Any other refusal has
// another reason.
func LacksConditions(err error) bool {
	var r minio.ErrorResponse
	return errors.As(err, &r) && (r.Code == "NotImplemented" || r.StatusCode == http.StatusNotImplemented)
}

// Abort drops the parts.
func (u *Upload) Abort(ctx context.Context) error {
	ctx, watch := watched(ctx)
	defer watch.stop()
	u.s.request(&u.s.counts.puts)
	if err := u.s.core.AbortMultipartUpload(ctx, u.s.at.Bucket, u.s.at.Prefix+u.Name, u.ID); err != nil {
		return u.s.fail(ctx, "abort the upload of", u.Name, err)
	}
	return nil
}

// An OpenUpload is an upload that was neither completed nor aborted.
type OpenUpload struct {
	*Upload
	Began time.Time
}

// maxUploads is how many uploads are listed at most. They come in the order of the names.
const maxUploads = 100_000

// Uploads yields the uploads of objects whose names begin with prefix, at most 100,000. It ends after the first error.
func (s *Store) Uploads(ctx context.Context, prefix string) iter.Seq2[OpenUpload, error] {
	return func(yield func(OpenUpload, error) bool) {
		ctx, watch := watched(ctx)
		defer watch.stop()
		var name, id string // the last ones
		for listed := 0; listed < maxUploads; {
			s.request(&s.counts.lists)
			r, err := s.core.ListMultipartUploads(ctx, s.at.Bucket, s.at.Prefix+prefix, name, id, "", listPage)
			if err == nil && r.IsTruncated && (len(r.Uploads) == 0 || r.NextKeyMarker == name && r.NextUploadIDMarker == id) {
				err = errLoop
			}
			if err != nil {
				yield(OpenUpload{}, s.fail(ctx, "list", prefix, err))
				return
			}
			name, id = r.NextKeyMarker, r.NextUploadIDMarker
			listed += len(r.Uploads)
			watch.pause()
			for _, o := range r.Uploads {
				if !yield(OpenUpload{s.Resume(strings.TrimPrefix(o.Key, s.at.Prefix), o.UploadID), o.Initiated}, nil) {
					return
				}
			}
			if !r.IsTruncated {
				return
			}
			watch.progress()
		}
	}
}
