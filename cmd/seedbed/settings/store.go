package settings

import (
	"context"
	"net"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/adrg/xdg"

	"seedbed/internal/netx"
	"seedbed/internal/objectstore"
	"seedbed/internal/option"
)

// Store are the settings of an object store.
type Store struct {
	Location  objectstore.Location // Bucket is "" if there is no store
	Cache     string               // a folder, or ""
	CacheSize int64                // bytes; 0 by the free space
	Anonymous bool

	endpoint, region string
	style            option.Word
}

func newStore() Store {
	return Store{style: option.Word{Value: "auto", Words: []string{"auto", "path", "host"}}}
}

// StoreNames are the names of the settings of an object store, and StoreAccess those that say how to reach one.
var (
	StoreAccess = []string{"store-endpoint", "store-region", "store-style", "store-anonymous"}
	StoreNames  = append([]string{"store", "cache", "cache-size"}, StoreAccess...)
)

// CacheDir returns the folder of the cache.
func (s *Store) CacheDir() string {
	if s.Cache != "" {
		return s.Cache
	}
	return filepath.Join(xdg.CacheHome, "seedbed", "store")
}

// ObjectStore returns the configuration of an object store at a place. It reads the file of --proxy-auth-file.
func (v *Values) ObjectStore(at objectstore.Location) (objectstore.Config, error) {
	out, err := v.Outbound()
	if err != nil {
		return objectstore.Config{}, err
	}
	direct := netx.Outbound{Interface: out.Interface}
	s := &v.Store
	c := objectstore.Config{At: at, Endpoint: s.endpoint, Region: s.region, Anonymous: s.Anonymous,
		Style: objectstore.Style(slices.Index(s.style.Words, s.style.Value)),
		Dial: func(ctx context.Context, network, hostPort string) (net.Conn, error) {
			return out.DialHost(ctx, network, hostPort, nil)
		},
		DialDirect: func(ctx context.Context, network, hostPort string) (net.Conn, error) {
			return direct.DialHost(ctx, network, hostPort, nil)
		},
		Lookup: out.LookupNetIP}
	if out.IsZero() {
		c.Proxy = http.ProxyFromEnvironment
	}
	return c.Environment(), nil
}

// storeLocation is a flag for a place in an object store.
type storeLocation struct{ to *objectstore.Location }

// Type implements option.Value.
func (s *storeLocation) Type() string { return objectstore.Scheme + "BUCKET/PREFIX" }

// String implements option.Value.
func (s *storeLocation) String() string {
	if s.to.Bucket == "" {
		return ""
	}
	return s.to.String()
}

// Set implements option.Value.
func (s *storeLocation) Set(v string) (err error) {
	*s.to, err = objectstore.ParseLocation(v)
	return err
}

// storeEndpoint is a flag for the URL of an object store.
type storeEndpoint struct{ to *string }

// Type implements option.Value.
func (e *storeEndpoint) Type() string { return "URL" }

// String implements option.Value.
func (e *storeEndpoint) String() string { return *e.to }

// Set implements option.Value.
func (e *storeEndpoint) Set(v string) error {
	if err := objectstore.CheckEndpoint(v); err != nil {
		return err
	}
	*e.to = v
	return nil
}
