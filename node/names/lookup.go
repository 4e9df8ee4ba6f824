package names

import (
	"context"
	"errors"
)

// A Record is a TXT record that names a publication.
type Record struct {
	Name string // of the record in the DNS, without a dot at the end
	Publication
}

// querier asks the DNS for the TXT records of a name. The strings of each record are joined.
type querier interface {
	// txt returns no texts and no error if the name does not exist or has no TXT records.
	txt(ctx context.Context, name string) ([]string, error)
}

// errProxy is the error if there is a proxy and the resolver of the system would be asked.
var errProxy = errors.New("the resolver of the system would be asked around the proxy")

// lookup returns the record of a domain. A record at _btpk.DOMAIN comes first, then the DNSLink records at
// _dnslink.DOMAIN and, as in the first edition of DNSLink, at DOMAIN. If one of the lookups fails, or a
// record cannot be used, the next is not tried: it could name another publication.
func lookup(ctx context.Context, ask querier, domain string) (*Record, error) {
	for _, at := range []struct {
		name string
		read func(string) (*Publication, error)
	}{
		{keyLabel + domain, readKey}, {linkLabel + domain, readLink}, {domain, readLink},
	} {
		texts, err := ask.txt(ctx, at.name)
		if err != nil {
			return nil, failed(at.name, err)
		}
		p, err := readTexts(texts, at.read)
		if err != nil {
			return nil, badRecord(at.name, err)
		}
		if p != nil {
			return &Record{at.name, *p}, nil
		}
	}
	return nil, noRecord(domain)
}
