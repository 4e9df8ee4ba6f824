package objectstore

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"strings"
	"time"

	"github.com/minio/minio-go/v7"
	"github.com/minio/minio-go/v7/pkg/credentials"
)

// Style says where the name of the bucket is in a request.
type Style uint8

const (
	AutoStyle Style = iota // host for Amazon and others that are known for it, path for the rest
	PathStyle              // https://HOST/BUCKET/NAME
	HostStyle              // https://BUCKET.HOST/NAME
)

// Config configures Open.
type Config struct {
	At Location
	// Endpoint is the URL of the store; "" means Amazon S3.
	Endpoint string
	Region   string // "" asks the store
	Style    Style
	// Anonymous means that requests are not signed. Otherwise credentials are looked for in the
	// environment, in the shared files of the AWS tools, and in the role of the machine.
	Anonymous bool
	// Dial opens all connections, as netx.Outbound.DialHost does.
	Dial func(ctx context.Context, network, hostPort string) (net.Conn, error)
	// DialDirect is Dial without a proxy; nil is Dial. Services of the machine itself, at loopback and link-local addresses,
	// are asked with it for the role of the machine: they send the keys unencrypted, and nobody else may see these.
	DialDirect func(ctx context.Context, network, hostPort string) (net.Conn, error)
	// Lookup returns the addresses of a host, as netx.Outbound.LookupNetIP does. Nil means that only numeric hosts have any.
	Lookup func(ctx context.Context, host string) ([]netip.Addr, error)
	// Proxy returns the HTTP proxy for a request; nil means that there is none. It is never used for the role of the
	// machine.
	Proxy func(*http.Request) (*url.URL, error)
}

// Environment fills in what the environment says, as for other tools: AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL,
// AWS_REGION and AWS_DEFAULT_REGION.
func (c Config) Environment() Config {
	c.Endpoint = cmp.Or(c.Endpoint, os.Getenv("AWS_ENDPOINT_URL_S3"), os.Getenv("AWS_ENDPOINT_URL"))
	c.Region = cmp.Or(c.Region, os.Getenv("AWS_REGION"), os.Getenv("AWS_DEFAULT_REGION"))
	return c
}

// amazon is the endpoint of Amazon S3, which leads to all regions.
const amazon = "https://s3.amazonaws.com"

const (
	// Patience is how long the store may send nothing before a request fails.
	Patience = 8 * time.Second
	// dialTime is how long a connection may take.
	dialTime = 5 * time.Second
	// idleConns is how many connections are kept for later requests.
	idleConns = 64
	// roleTime is how long the credentials of the machine's role may take. Most machines have none.
	roleTime = 2 * time.Second
)

// Open returns the store of a configuration. It makes no request.
func Open(c Config) (*Store, error) {
	text := cmp.Or(c.Endpoint, amazon)
	u, err := parseEndpoint(text)
	if err != nil {
		return nil, err
	}
	transport := &http.Transport{
		Proxy:                 c.Proxy,
		DialContext:           limited(c.Dial),
		TLSHandshakeTimeout:   dialTime,
		ResponseHeaderTimeout: completeTime, // the watch of a request ends most of them earlier
		MaxIdleConnsPerHost:   idleConns,
		IdleConnTimeout:       time.Minute,
		DisableCompression:    true,
	}
	lookup := minio.BucketLookupAuto
	switch c.Style {
	case PathStyle:
		lookup = minio.BucketLookupPath
	case HostStyle:
		lookup = minio.BucketLookupDNS
	}
	o := &minio.Options{Secure: u.Scheme == "https", Transport: bounded{transport}, Region: c.Region, BucketLookup: lookup, MaxRetries: 1}
	o.Creds = credentials.NewStatic("", "", "", credentials.SignatureAnonymous) // without, the library signs with an empty key
	var creds *credentials.Credentials
	if !c.Anonymous {
		creds = credentials.New(&steady{from: &credentials.Chain{Providers: c.providers()}})
		o.Creds = creds
	}
	core, err := minio.NewCore(u.Host, o)
	if err != nil {
		return nil, fmt.Errorf("cannot use the object store at %s: %w", text, err)
	}
	return &Store{at: c.At, core: core, transport: transport, endpoint: u, style: c.Style, lookup: c.Lookup, isAnonymous: c.Anonymous, creds: creds, counts: &counters{}, pace: &pace{}, etags: &etags{}}, nil
}

// CheckEndpoint returns an error if text cannot be Config.Endpoint.
func CheckEndpoint(text string) error {
	_, err := parseEndpoint(text)
	return err
}

func parseEndpoint(text string) (*url.URL, error) {
	u, err := url.Parse(text)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "http" && u.Scheme != "https" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		return nil, fmt.Errorf("%q is not the URL of an object store, as in https://s3.example.org", text)
	}
	return u, nil
}

type dialFunc = func(ctx context.Context, network, hostPort string) (net.Conn, error)

// limited limits the time of a dial.
func limited(dial dialFunc) dialFunc {
	return func(ctx context.Context, network, hostPort string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, dialTime)
		defer cancel()
		return dial(ctx, network, hostPort)
	}
}

// dialRole connects to a service that gives the credentials of the machine's role.
func (c Config) dialRole(ctx context.Context, network, hostPort string) (net.Conn, error) {
	dial := c.Dial
	if host, _, err := net.SplitHostPort(hostPort); err == nil && c.DialDirect != nil {
		if ip, err := netip.ParseAddr(host); host == "localhost" || err == nil && (ip.IsLoopback() || ip.IsLinkLocalUnicast()) {
			dial = c.DialDirect
		}
	}
	return limited(dial)(ctx, network, hostPort)
}

// providers returns where credentials may be, in the order of the AWS tools.
func (c Config) providers() []credentials.Provider {
	p := []credentials.Provider{&credentials.EnvAWS{}, &credentials.FileAWSCredentials{}}
	if !strings.EqualFold(os.Getenv("AWS_EC2_METADATA_DISABLED"), "true") {
		p = append(p, &credentials.IAM{Client: &http.Client{Transport: &http.Transport{DialContext: c.dialRole}, Timeout: roleTime}})
	}
	return p
}

// ErrNoCredentials is returned by CheckCredentials.
var ErrNoCredentials = errors.New("there are no credentials for the object store")

// CheckCredentials returns ErrNoCredentials if requests would be anonymous although they are meant to be signed.
func (s *Store) CheckCredentials() error {
	if s.isAnonymous {
		return nil
	}
	v, err := s.core.GetCreds()
	if err == nil && v.SignerType.IsAnonymous() {
		err = ErrNoCredentials
	}
	return err
}

// IsAnonymous reports whether requests are not signed, as the configuration says.
func (s *Store) IsAnonymous() bool { return s.isAnonymous }
