package client

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strings"
	"syscall"

	"seedbed/node"
)

// unanswered returns the error of a request that has got no answer, because of err.
func (c *Client) unanswered(err error) error {
	var u *url.Error
	if errors.As(err, &u) {
		err = u.Err
	}
	var name *net.DNSError
	var certificate *tls.CertificateVerificationError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED), errors.Is(err, syscall.ENOENT):
		return fmt.Errorf("%w at %s", ErrNoDaemon, c.where)
	case errors.Is(err, syscall.EINVAL): // of connect: no such socket can exist
		return fmt.Errorf("%w at %s, which is too long for the path of a unix socket", ErrNoDaemon, c.where)
	case errors.As(err, &name) && name.IsNotFound:
		return c.fault("check the URL", "%w", err)
	case errors.Is(err, http.ErrSchemeMismatch):
		return c.fault("use a URL with http://, or let the daemon serve HTTPS with --tls-cert and --tls-key", "it serves HTTP, not HTTPS")
	case errors.As(err, &certificate):
		return c.untrusted(certificate.Err)
	}
	return fmt.Errorf("%s: %w", c.where, err)
}

// untrusted returns the error for a certificate that was refused because of err.
func (c *Client) untrusted(err error) error {
	var authority x509.UnknownAuthorityError
	var host x509.HostnameError
	var invalid x509.CertificateInvalidError
	switch {
	case errors.As(err, &authority) && authority.Cert != nil:
		return c.fault("if the certificate is your own, let this system trust it, or put its file into the environment variable SSL_CERT_FILE (not on Windows and macOS)",
			"its certificate was issued by %q, which this system does not trust", authority.Cert.Issuer)
	case errors.As(err, &host):
		return c.fault("use a URL with a name of the certificate, or add this name to the certificate", "its certificate is for another host: %s", plain(host))
	case errors.As(err, &invalid) && invalid.Reason == x509.Expired:
		return c.fault("renew the certificate, or check the clock of this machine", "its certificate has expired or is not valid yet: %s", invalid.Detail)
	}
	return c.fault("give the daemon another certificate", "its certificate cannot be used: %s", plain(err))
}

// plain returns the text of an error of package x509.
func plain(err error) string { return strings.TrimPrefix(err.Error(), "x509: ") }

func (c *Client) fault(hint, format string, args ...any) error {
	return node.NewFault(node.FaultNetwork, fmt.Errorf("%s: %w", c.where, fmt.Errorf(format, args...)), hint)
}
