package client

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"io"
	"log"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/node"
)

// issue returns a certificate for these names, or for 127.0.0.1, that its own key has signed.
func issue(t *testing.T, names []string, from, until time.Time) tls.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "my nas"}, NotBefore: from, NotAfter: until,
		DNSNames: names, BasicConstraintsValid: true, IsCA: true}
	if names == nil {
		c.IPAddresses = []net.IP{net.IPv4(127, 0, 0, 1)}
	}
	der, err := x509.CreateCertificate(rand.Reader, c, c, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	leaf, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key, Leaf: leaf}
}

// A refused certificate is an error that says what is wrong with it and what to do.
func TestRefusedCertificates(t *testing.T) {
	now := time.Now()
	for name, c := range map[string]struct {
		names       []string // nil for 127.0.0.1
		from, until time.Time
		distrusted  bool
		want, hint  string
	}{
		"authority": {from: now.Add(-time.Hour), until: now.Add(time.Hour), distrusted: true, want: `was issued by "CN=my nas", which this system does not trust`, hint: "SSL_CERT_FILE"},
		"host":      {names: []string{"nas.example.org"}, from: now.Add(-time.Hour), until: now.Add(time.Hour), want: "is for another host: ", hint: "a name of the certificate"},
		"expired":   {from: now.Add(-2 * time.Hour), until: now.Add(-time.Hour), want: "has expired or is not valid yet: current time ", hint: "renew"},
		"early":     {from: now.Add(time.Hour), until: now.Add(2 * time.Hour), want: "has expired or is not valid yet: current time ", hint: "the clock"},
	} {
		t.Run(name, func(t *testing.T) {
			certificate := issue(t, c.names, c.from, c.until)
			s := httptest.NewUnstartedServer(http.NotFoundHandler())
			s.TLS = &tls.Config{Certificates: []tls.Certificate{certificate}}
			s.Config.ErrorLog = log.New(io.Discard, "", 0)
			s.StartTLS()
			defer s.Close()
			cl, err := OverURL(s.URL, "")
			if err != nil {
				t.Fatal(err)
			}
			trusted := x509.NewCertPool()
			if !c.distrusted {
				trusted.AddCert(certificate.Leaf)
			}
			cl.http.Transport = &http.Transport{TLSClientConfig: &tls.Config{RootCAs: trusted}}
			_, err = cl.Node(t.Context())
			checkFault(t, err, s.URL+": its certificate "+c.want, c.hint)
		})
	}
}

// checkFault checks that err is a fault of the network with that text and hint.
func checkFault(t *testing.T, err error, want, hint string) {
	t.Helper()
	var f *node.Fault
	if !errors.As(err, &f) || f.Kind != node.FaultNetwork || !strings.Contains(err.Error(), want) || !strings.Contains(f.Hint(), hint) {
		t.Errorf("%v (%+v), want %q and the hint %q", err, f, want, hint)
	}
}

// HTTPS to a daemon that serves HTTP is an error that says so.
func TestHTTPSToHTTP(t *testing.T) {
	s := httptest.NewServer(http.NotFoundHandler())
	defer s.Close()
	cl, err := OverURL("https"+strings.TrimPrefix(s.URL, "http"), "")
	if err != nil {
		t.Fatal(err)
	}
	_, err = cl.Node(t.Context())
	checkFault(t, err, "it serves HTTP, not HTTPS", "http://")
}

// No daemon can serve a socket whose path is too long.
func TestASocketPathThatIsTooLong(t *testing.T) {
	path := filepath.Join(t.TempDir(), strings.Repeat("x", 120))
	if _, err := OverSocket(path).Node(t.Context()); !errors.Is(err, ErrNoDaemon) {
		t.Error(err)
	}
}
