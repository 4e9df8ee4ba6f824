package objectstore

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"seedbed/internal/addrs"
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

// ErrPrivateHost is returned by IsPublic for a store that others cannot reach.
var ErrPrivateHost = errors.New("the address of the store is private, so that others cannot read there")

// IsPublic reports whether everybody can read an object at its PublicURL. The error says that the store did not answer, or that
// everybody who reaches the store can read it, but its host has an address that is not public (ErrPrivateHost), or none.
func (s *Store) IsPublic(ctx context.Context, name string) (bool, error) {
	r, err := s.askUnsigned(ctx, http.MethodGet, name)
	if err != nil || r.StatusCode != http.StatusOK && r.StatusCode != http.StatusPartialContent {
		return false, err
	}
	if err := s.checkHost(ctx); err != nil {
		return false, err
	}
	return true, nil
}

// askUnsigned makes a request without credentials for the first byte of what has a PublicURL. It returns the answer without its body.
func (s *Store) askUnsigned(ctx context.Context, method, name string) (*http.Response, error) {
	ctx, watch := watched(ctx)
	defer watch.stop()
	req, err := http.NewRequestWithContext(ctx, method, s.PublicURL(name), nil)
	if err != nil {
		return nil, s.fail(ctx, "read", name, err)
	}
	if method == http.MethodGet {
		req.Header.Set("Range", "bytes=0-0")
		s.request(&s.counts.gets)
	} else {
		s.request(&s.counts.heads)
	}
	r, err := s.transport.RoundTrip(req)
	if err != nil {
		return nil, s.fail(ctx, "read", name, err)
	}
	defer r.Body.Close()
	_, _ = io.CopyN(io.Discard, r.Body, 1)
	return r, nil
}

// checkHost returns an error unless all addresses of the host of a PublicURL are public.
func (s *Store) checkHost(ctx context.Context) error {
	u, err := url.Parse(s.PublicURL(""))
	if err != nil {
		return err
	}
	host := u.Hostname()
	all, err := s.addresses(ctx, host)
	if err != nil {
		return err
	}
	for _, ip := range all {
		if where := ip.String(); !addrs.IsPublic(ip.Unmap()) {
			if where != host {
				where = host + " is at " + where
			}
			return fmt.Errorf("%w: %s", ErrPrivateHost, where)
		}
	}
	return nil
}

// addresses returns the addresses of a host, of which there is at least one.
func (s *Store) addresses(ctx context.Context, host string) ([]netip.Addr, error) {
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	if s.lookup == nil {
		return nil, fmt.Errorf("the addresses of %s are not known", host)
	}
	all, err := s.lookup(ctx, host)
	switch {
	case err != nil:
		return nil, fmt.Errorf("the addresses of %s are not known: %w", host, err)
	case len(all) == 0:
		return nil, fmt.Errorf("%s has no address", host)
	}
	return all, nil
}

// Clock returns by how much the clock of the store is ahead of that of this machine, to about a second. ok is false if the store
// does not say.
func (s *Store) Clock(ctx context.Context) (ahead time.Duration, ok bool, err error) {
	began := time.Now()
	r, err := s.askUnsigned(ctx, http.MethodHead, "")
	if err != nil {
		return 0, false, err
	}
	now := began.Add(time.Since(began) / 2)
	at, err := http.ParseTime(r.Header.Get("Date"))
	if err != nil {
		return 0, false, nil
	}
	return at.Sub(now.Truncate(time.Second)), true, nil
}
