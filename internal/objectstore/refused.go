package objectstore

import (
	"context"
	"errors"

	"github.com/minio/minio-go/v7"
)

// A store refuses requests because the credentials may not do this, or because it does not accept them at all. Users have to do
// something else in each case, and only the code of the error tells.

// accessHints says what a user can do if a store does not accept the credentials at all, by the code of the error.
var accessHints = map[string]string{
	"RequestTimeTooSkewed":  "set the clock of this machine",
	"RequestExpired":        "set the clock of this machine",
	"ExpiredToken":          "the session of the credentials is over: renew those of the profile, or set AWS_SESSION_TOKEN and the keys that belong to it",
	"InvalidToken":          "check AWS_SESSION_TOKEN; it belongs to AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
	"InvalidAccessKeyId":    "check AWS_ACCESS_KEY_ID, or the keys of the profile, and --store-endpoint",
	"SignatureDoesNotMatch": "check AWS_SECRET_ACCESS_KEY, or the keys of the profile",
}

// AccessHint returns what a user can do if the store does not accept the credentials at all. It is "" for other errors.
func AccessHint(err error) string { return accessHints[codeOf(err)] }

// codeOf returns the code of an error of a store, or "".
func codeOf(err error) string {
	var r minio.ErrorResponse
	_ = errors.As(err, &r)
	return r.Code
}

// renewCredentials makes the next request ask for the credentials again if the store does not accept them: other programs renew the
// files of AWS tools.
func (s *Store) renewCredentials(err error) {
	switch codeOf(err) {
	case "ExpiredToken", "InvalidToken", "InvalidAccessKeyId":
		if s.creds != nil {
			s.creds.Expire()
		}
	}
}

// explain finds out why a store refuses to describe an object: the answer to a HEAD request has no text. It returns the error to be
// reported.
func (s *Store) explain(ctx context.Context, name string, refusal error) error {
	if kind := kindOf(refusal); kind != Denied && kind != Unsupported || ctx.Err() != nil {
		return refusal
	}
	var opts minio.GetObjectOptions
	opts.Set("Range", "bytes=0-0")
	s.request(&s.counts.gets)
	body, _, _, err := s.core.GetObject(ctx, s.at.Bucket, s.at.Prefix+name, opts)
	if err == nil {
		_ = body.Close()
		return refusal
	}
	switch kindOf(err) {
	case Denied, Elsewhere:
		return err
	}
	return refusal
}
