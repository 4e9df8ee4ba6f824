package objectstore

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/minio/minio-go/v7"
)

// Kind classifies an Error by what a caller should do about it.
type Kind uint8

const (
	// Unavailable: the store, or the way to it, does not work now. Try again later.
	Unavailable Kind = iota + 1
	// NotFound: there is no such object or bucket.
	NotFound
	// Changed: the object is not the one that was asked for, or the condition of a write does not hold.
	Changed
	// Denied: the credentials are missing, wrong, or not sufficient.
	Denied
	// Unsupported: the store does not do what is needed.
	Unsupported
	// Elsewhere: the bucket is in another region.
	Elsewhere
)

// Error is a request that failed.
type Error struct {
	Op   string // "read", "list", "write", ...
	Name string // of the object, as in s3://BUCKET/NAME
	Kind Kind
	Err  error
}

func (e *Error) Error() string {
	if e.Kind == Elsewhere {
		if r := regionOf(e.Err); r != "" {
			return fmt.Sprintf("%s %s: the bucket is in the region %s", e.Op, e.Name, r)
		}
	}
	text := e.Err.Error()
	if len(text) > maxText {
		text = strings.ToValidUTF8(text[:maxText], "") + "…"
	}
	return fmt.Sprintf("%s %s: %s", e.Op, e.Name, text)
}

// maxText is how many bytes of the text of an error are shown: a store can make it as long as it likes.
const maxText = 500

// Unwrap returns the reason.
func (e *Error) Unwrap() error { return e.Err }

// Hint returns what a user can do about the error.
func (e *Error) Hint() string {
	switch e.Kind {
	case Unavailable:
		return "check --store-endpoint (or AWS_ENDPOINT_URL), and the network"
	case NotFound:
		return "check the name of the bucket, the prefix, and --store-endpoint (or AWS_ENDPOINT_URL)"
	case Changed:
		return "let nobody else write there meanwhile, and try again"
	case Denied:
		if hint := AccessHint(e.Err); hint != "" {
			return hint
		}
		return "give credentials that may do this: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, AWS_PROFILE, or the role of the machine"
	case Unsupported:
		return "use another store"
	case Elsewhere:
		if r := regionOf(e.Err); r != "" {
			return "use --store-region " + r
		}
		return "give the region of the bucket with --store-region, or its endpoint with --store-endpoint"
	}
	return ""
}

// KindOf returns the Kind of an error of this package, or 0 for other errors.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return 0
}

var (
	errSilent   = errors.New("the store sends nothing, or too little")
	errNoRange  = errors.New("the store sent another part of the object than the one that was asked for")
	errReplaced = errors.New("the object has been replaced")
	errCut      = errors.New("the store closed the connection too early")
	errLoop     = errors.New("the store lists the same objects again and again")
	errParts    = errors.New("the store lists parts of an upload that cannot be")
	errTooLong  = errors.New("the answer of the store is too long")
	errNoSize   = errors.New("the store does not say how large the object is")
	errNoUpload = errors.New("the store begins an upload in parts without naming it")
	errNoStore  = errors.New("what answers is not the store, or the store has failed in the middle of its answer")
	errNoETag   = errors.New("the answer has no ETag, so it may not be that of the store")
)

// fail makes an *Error. If the caller gave up, the error is that of ctx.
func (s *Store) fail(ctx context.Context, op, name string, err error) error {
	if ctx.Err() != nil && !errors.Is(context.Cause(ctx), errSilent) {
		return ctx.Err()
	}
	s.renewCredentials(err)
	e := &Error{Op: op, Name: s.at.Name(name), Kind: kindOf(err), Err: err}
	if errors.Is(context.Cause(ctx), errSilent) {
		e.Kind, e.Err = Unavailable, errSilent
	}
	if e.Kind == Unavailable {
		s.counts.failed.Add(1)
	}
	return e
}

// kindOf classifies an error of the library.
func kindOf(err error) Kind {
	switch {
	case errors.Is(err, errReplaced):
		return Changed
	case errors.Is(err, errNoRange), errors.Is(err, errLoop), errors.Is(err, errParts), errors.Is(err, errTooLong), errors.Is(err, errNoSize), errors.Is(err, errNoUpload):
		return Unsupported
	}
	var r minio.ErrorResponse
	if !errors.As(err, &r) {
		return Unavailable
	}
	if isElsewhere(r) {
		return Elsewhere
	}
	switch r.Code {
	case "NoSuchKey", "NoSuchBucket", "NoSuchUpload":
		return NotFound
	case "PreconditionFailed", "ConditionalRequestConflict":
		return Changed
	case "NotImplemented", "MethodNotAllowed":
		return Unsupported
	case "RequestTimeout", "IncompleteBody", "BadDigest", "OperationAborted", "SlowDown":
		return Unavailable
	case "AccessDenied":
		return Denied
	}
	if _, ok := accessHints[r.Code]; ok {
		return Denied
	}
	switch r.StatusCode {
	case http.StatusNotFound:
		return NotFound
	case http.StatusPreconditionFailed, http.StatusConflict, http.StatusRequestedRangeNotSatisfiable:
		return Changed
	case http.StatusUnauthorized, http.StatusForbidden:
		return Denied
	case http.StatusNotImplemented, http.StatusMethodNotAllowed:
		return Unsupported
	case http.StatusRequestTimeout, http.StatusTooEarly, http.StatusTooManyRequests:
		return Unavailable
	}
	if r.StatusCode/100 == 4 { // it would be refused again
		return Unsupported
	}
	return Unavailable
}

// isElsewhere reports whether a store says that the bucket is in another region. It does that by a redirection, which is not
// followed because requests are signed for a region, or by an error.
func isElsewhere(r minio.ErrorResponse) bool {
	switch r.Code {
	case "AuthorizationHeaderMalformed", "InvalidRegion", "IllegalLocationConstraintException", "PermanentRedirect":
		return true
	}
	return r.StatusCode/100 == 3 && r.StatusCode != http.StatusTemporaryRedirect && r.StatusCode != http.StatusNotModified
}

// regionOf returns the region that a store has named in an error, or "". It is a word, because users are told to type it.
func regionOf(err error) string {
	var r minio.ErrorResponse
	if !errors.As(err, &r) || len(r.Region) > 40 || strings.Trim(r.Region, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return ""
	}
	return r.Region
}
