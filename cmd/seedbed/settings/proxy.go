package settings

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"seedbed/internal/netx"
	"seedbed/internal/option"
	"seedbed/internal/userfile"
)

// proxy is a flag for the URL of a SOCKS5 proxy. to has its HOST:PORT.
type proxy struct{ to *string }

const scheme = "socks5://"

// Type implements pflag.Value.
func (p *proxy) Type() string { return "URL" }

// String implements pflag.Value.
func (p *proxy) String() string {
	if *p.to == "" {
		return ""
	}
	return scheme + *p.to
}

// Set implements pflag.Value.
func (p *proxy) Set(v string) error {
	at, ok := strings.CutPrefix(strings.TrimSuffix(v, "/"), scheme)
	if !ok {
		// With socks5h, other programs say that the proxy resolves names, as it always does here.
		if at, ok = strings.CutPrefix(strings.TrimSuffix(v, "/"), "socks5h://"); !ok {
			return fmt.Errorf("%q is not of the form socks5://HOST:PORT", v)
		}
	}
	if strings.Contains(at, "@") {
		return errors.New("put the user name and the password into the file of --proxy-auth-file: everyone on this machine sees the command line")
	}
	if err := option.CheckPeer(at); err != nil {
		return err
	}
	*p.to = at
	return nil
}

// maxAuthFile limits the file of --proxy-auth-file, in bytes.
const maxAuthFile = 4 << 10

// Outbound returns what opens the connections to other machines. It reads the file of
// --proxy-auth-file.
func (v *Values) Outbound() (netx.Outbound, error) {
	out := v.Config.Outbound
	if v.proxyAuth == "" {
		return out, nil
	}
	if out.Proxy == "" {
		return out, errors.New("--proxy-auth-file needs --proxy")
	}
	b, err := userfile.Read(context.Background(), v.proxyAuth, userfile.RefusePipes, maxAuthFile)
	if err != nil {
		return out, fmt.Errorf("cannot read --proxy-auth-file %s: %w", v.proxyAuth, userfile.Reason(err))
	}
	line, _, _ := strings.Cut(string(b), "\n")
	var ok bool
	out.Username, out.Password, ok = strings.Cut(strings.TrimSuffix(line, "\r"), ":")
	if !ok || out.Username == "" || len(out.Username) > netx.MaxProxySecret || len(out.Password) > netx.MaxProxySecret {
		return out, fmt.Errorf("the first line of %s is not USER:PASSWORD, each of at most %d bytes", v.proxyAuth, netx.MaxProxySecret)
	}
	return out, nil
}
