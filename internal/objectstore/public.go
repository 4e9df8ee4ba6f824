package objectstore

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
)

// PublicURL returns the URL of an object for those who have no credentials.
func (s *Store) PublicURL(name string) string {
	u := *s.endpoint
	parts := strings.Split(s.at.Prefix+name, "/")
	if s.HasPathStyle() {
		parts = append([]string{s.at.Bucket}, parts...)
	} else {
		u.Host = s.at.Bucket + "." + u.Host
	}
	for i, part := range parts {
		parts[i] = url.PathEscape(part)
	}
	return u.Scheme + "://" + u.Host + "/" + strings.Join(parts, "/")
}

// HasPathStyle reports whether the bucket is in the path of a PublicURL, and not in its host.
func (s *Store) HasPathStyle() bool {
	return s.style == PathStyle || s.style == AutoStyle && s.endpoint.Scheme+"://"+s.endpoint.Host != amazon
}

// IsPublic reports whether everybody can read an object at its PublicURL. The error says that the store did not answer.
func (s *Store) IsPublic(ctx context.Context, name string) (bool, error) {
	ctx, watch := watched(ctx)
	defer watch.stop()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, s.PublicURL(name), nil)
	if err != nil {
		return false, s.fail(ctx, "read", name, err)
	}
	req.Header.Set("Range", "bytes=0-0")
	s.request(&s.counts.gets)
	r, err := s.transport.RoundTrip(req)
	if err != nil {
		return false, s.fail(ctx, "read", name, err)
	}
	defer r.Body.Close()
	_, _ = io.CopyN(io.Discard, r.Body, 1)
	return r.StatusCode == http.StatusOK || r.StatusCode == http.StatusPartialContent, nil
}
