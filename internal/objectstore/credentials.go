package objectstore

import (
	"errors"
	"time"

	"github.com/minio/minio-go/v7/pkg/credentials"
)

// steady keeps the credentials that a provider has found. A provider such as the library's Chain returns none if the service that it
// asks is merely slow. Requests would then be anonymous, and refused for good.
type steady struct {
	from  credentials.Provider
	last  credentials.Value // that were found
	until time.Time         // when from is asked again, if it found none
}

const (
	// absentTime is how long requests are anonymous after no credentials were found. Asking for the role of the machine takes a while.
	absentTime = time.Minute
	// renewTime is the pause after credentials could not be renewed.
	renewTime = 10 * time.Second
)

var errRenew = errors.New("the credentials have expired, and the service that gave them does not answer")

// RetrieveWithCredContext returns the credentials. If none are found, it returns those that were found before while they are valid,
// and an error afterwards.
func (s *steady) RetrieveWithCredContext(cc *credentials.CredContext) (credentials.Value, error) {
	v, err := s.from.RetrieveWithCredContext(cc)
	if err == nil && v.AccessKeyID != "" {
		s.last, s.until = v, time.Time{}
		return v, nil
	}
	now := time.Now()
	switch {
	case s.last.AccessKeyID == "":
		s.until = now.Add(absentTime)
		return v, err
	case s.last.Expiration.IsZero() || now.Before(s.last.Expiration):
		s.until = now.Add(renewTime)
		return s.last, nil
	}
	return credentials.Value{}, errRenew
}

// Retrieve is RetrieveWithCredContext without a context.
func (s *steady) Retrieve() (credentials.Value, error) { return s.RetrieveWithCredContext(nil) }

// IsExpired reports whether the credentials are to be asked for again.
func (s *steady) IsExpired() bool { return !time.Now().Before(s.until) && s.from.IsExpired() }
