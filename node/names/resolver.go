package names

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"

	"seedbed/internal/netx"
	"seedbed/internal/option"
)

// CheckResolver returns an error if v is not a resolver: HOST:PORT, or the https URL of a
// server for DNS over HTTPS, such as https://dns.example/dns-query.
func CheckResolver(v string) error {
	if !strings.Contains(v, "://") {
		return option.CheckPeer(v)
	}
	u, err := url.Parse(v)
	if err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.Fragment != "" {
		return fmt.Errorf("%q is neither HOST:PORT nor the https URL of a server for DNS over HTTPS", v)
	}
	return nil
}

func newQuerier(resolver string, out netx.Outbound) querier {
	switch {
	case resolver == "":
		return system{out}
	case strings.Contains(resolver, "://"):
		return messages{newHTTPS(resolver, out)}
	}
	return messages{&server{resolver, out}}
}

// system asks the resolver of the system.
type system struct{ out netx.Outbound }

func (s system) txt(ctx context.Context, name string) ([]string, error) {
	if s.out.Proxy != "" {
		return nil, errProxy
	}
	texts, err := s.out.LookupTXT(ctx, name)
	var unknown *net.DNSError
	if errors.As(err, &unknown) && unknown.IsNotFound {
		return nil, nil
	}
	return texts, err
}
