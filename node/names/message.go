package names

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"

	"golang.org/x/net/dns/dnsmessage"
)

const (
	// udpSize is the largest response that is accepted over UDP, in bytes (DNS flag day 2020). A larger
	// one comes over TCP.
	udpSize = 1232
	// maxMessage is the limit of a DNS message.
	maxMessage = 65535
	// maxAliases limits the CNAME records that are followed for one name.
	maxAliases = 8
)

var (
	errForeign = errors.New("it is not the response to the query")
	errAliases = fmt.Errorf("there are more than %d CNAME records on the way, or they form a loop", maxAliases)
)

// transport sends one query to a resolver and returns the response. It has checked the response with check.
type transport interface {
	exchange(ctx context.Context, query []byte) ([]byte, error)
}

// messages asks a DNS server in the format of the DNS.
type messages struct{ transport }

// txt implements querier. A server usually puts the records of an alias (CNAME) into its response; otherwise it is
// asked for them.
func (m messages) txt(ctx context.Context, name string) ([]string, error) {
	at, err := dnsmessage.NewName(name + ".")
	if err != nil {
		return nil, err
	}
	for range maxAliases {
		query, err := newQuery(at)
		if err != nil {
			return nil, err
		}
		response, err := m.exchange(ctx, query)
		if err != nil {
			return nil, err
		}
		texts, to, err := readResponse(response, at)
		if err != nil || texts != nil || to == at {
			return texts, err
		}
		at = to
	}
	return nil, errAliases
}

// newQuery returns a query for TXT records.
func newQuery(name dnsmessage.Name) ([]byte, error) {
	m := dnsmessage.Message{
		Header:    dnsmessage.Header{ID: uint16(rand.Uint32()), RecursionDesired: true},
		Questions: []dnsmessage.Question{{Name: name, Type: dnsmessage.TypeTXT, Class: dnsmessage.ClassINET}},
	}
	var opt dnsmessage.ResourceHeader
	if err := opt.SetEDNS0(udpSize, dnsmessage.RCodeSuccess, false); err != nil {
		return nil, err
	}
	m.Additionals = []dnsmessage.Resource{{Header: opt, Body: &dnsmessage.OPTResource{}}}
	return m.Pack()
}

// check returns whether a response was truncated. It returns errForeign for a message that is not the response to
// the query: forged ones have another ID or question.
func check(query, response []byte) (truncated bool, err error) {
	var p, asked dnsmessage.Parser
	want, err := asked.Start(query)
	if err != nil {
		return false, err
	}
	got, err := p.Start(response)
	if err != nil || !got.Response || got.ID != want.ID {
		return false, errForeign
	}
	wanted, err := asked.Question()
	if err != nil {
		return false, err
	}
	q, err := p.Question()
	if err != nil || q.Type != wanted.Type || q.Class != wanted.Class || !sameName(q.Name, wanted.Name) {
		return false, errForeign
	}
	return got.Truncated, nil
}

// readResponse returns the texts of the TXT records in a response for a name. Without any, it returns the name at the
// end of the chain of aliases that begins at name.
func readResponse(response []byte, name dnsmessage.Name) (texts []string, end dnsmessage.Name, err error) {
	var p dnsmessage.Parser
	h, err := p.Start(response)
	if err != nil {
		return nil, name, fmt.Errorf("the response is damaged: %w", err)
	}
	switch h.RCode {
	case dnsmessage.RCodeSuccess, dnsmessage.RCodeNameError: // RFC 2308: the end of an alias does not exist
	default:
		return nil, name, fmt.Errorf("the resolver answers %s", strings.TrimPrefix(h.RCode.String(), "RCode"))
	}
	if err := p.SkipAllQuestions(); err != nil {
		return nil, name, fmt.Errorf("the response is damaged: %w", err)
	}
	owned := map[string][]string{}
	aliases := map[string]dnsmessage.Name{}
	for {
		rr, err := p.AnswerHeader()
		if errors.Is(err, dnsmessage.ErrSectionDone) {
			break
		}
		if err == nil && rr.Class == dnsmessage.ClassINET {
			err = readAnswer(&p, rr, owned, aliases)
		} else if err == nil {
			err = p.SkipAnswer()
		}
		if err != nil {
			return nil, name, fmt.Errorf("the response is damaged: %w", err)
		}
	}
	for range maxAliases {
		if texts := owned[lower(name)]; texts != nil {
			return texts, name, nil
		}
		to, ok := aliases[lower(name)]
		if !ok {
			return nil, name, nil
		}
		name = to
	}
	return nil, name, errAliases
}

func readAnswer(p *dnsmessage.Parser, rr dnsmessage.ResourceHeader, owned map[string][]string, aliases map[string]dnsmessage.Name) error {
	switch rr.Type {
	case dnsmessage.TypeTXT:
		txt, err := p.TXTResource()
		if err == nil {
			owner := lower(rr.Name)
			owned[owner] = append(owned[owner], strings.Join(txt.TXT, ""))
		}
		return err
	case dnsmessage.TypeCNAME:
		to, err := p.CNAMEResource()
		if err == nil {
			aliases[lower(rr.Name)] = to.CNAME
		}
		return err
	}
	return p.SkipAnswer()
}

func lower(n dnsmessage.Name) string { return strings.ToLower(n.String()) }

func sameName(a, b dnsmessage.Name) bool { return strings.EqualFold(a.String(), b.String()) }
