package krpc

import (
	"net/netip"

	"seedbed/internal/bencode"
)

// argument reads the value of one key of "a".
func (p *parser) argument(key []byte) (k keys, good bool) {
	q := &p.m.Query
	switch string(key) {
	case "cas":
		q.CAS, good = p.int()
		q.HasCAS = good
		return kCAS, good
	case "id":
		return kID, p.id(&q.ID)
	case "implied_port":
		// BEP 5: set if it is present and non-zero.
		var n int64
		n, good = p.int()
		q.ImpliedPort = n != 0
		return kImpliedPort, good
	case "info_hash":
		return kInfoHash, p.id(&p.hash)
	case "k":
		q.K, good = p.str()
		return kK, good && len(q.K) == KeyLen
	case "noseed":
		q.NoSeed, good = p.flag()
		return kNoSeed, good
	case "port":
		p.port, good = p.int()
		return kPort, good
	case "salt":
		q.Salt, good = p.str()
		return kSalt, good
	case "scrape":
		q.Scrape, good = p.flag()
		return kScrape, good
	case "seed":
		q.Seed, good = p.flag()
		return kSeed, good
	case "seq":
		q.Seq, good = p.int()
		q.HasSeq = good
		return kSeq, good
	case "sig":
		q.Sig, good = p.str()
		return kSig, good && len(q.Sig) == SigLen
	case "target":
		return kTarget, p.id(&q.Target)
	case "token":
		q.Token, good = p.str()
		return kToken, good && len(q.Token) <= MaxToken
	case "v":
		q.V, good = p.s.Value()
		return kV, good
	case "want":
		return kWant, p.want()
	}
	p.skip()
	return 0, true
}

// want reads BEP 32's list of families.
func (p *parser) want() bool {
	if p.s.Kind() != bencode.List {
		p.skip()
		return false
	}
	q, good := &p.m.Query, true
	p.s.OpenList()
	for p.s.More() {
		w, ok := p.str()
		good = good && ok
		switch string(w) {
		case "n4":
			q.WantV4 = true
		case "n6":
			q.WantV6 = true
		}
		// BEP 32: other strings may be present and must be silently ignored.
	}
	q.HasWant = q.WantV4 || q.WantV6
	return good
}

// validateQuery checks the required keys of a query, and then its arguments.
func (p *parser) validateQuery() Error {
	m := p.m
	q := &m.Query
	switch {
	case p.top&^p.badTop&kQ == 0:
		return ErrQ
	case p.top&^p.badTop&kA == 0:
		return ErrArgs
	case p.in&^p.badIn&kID == 0:
		return ErrID
	}
	if p.badTop&kIP != 0 {
		m.IP = netip.AddrPort{}
	}
	if p.badTop&kV != 0 {
		m.Version = nil
	}
	m.Response, m.Error = Response{}, ErrorReply{}
	q.T, q.Version = m.T, m.Version

	if q.Bad = p.validateArguments(q); q.Bad != "" && q.BadCode == 0 {
		q.BadCode = CodeProtocol
	}
	return 0
}

const (
	noTarget = "no target of 20 bytes"
	noHash   = "no info_hash of 20 bytes"
	badWant  = "want is not a list of strings"
)

// validateArguments sets the kind of the query. It returns what is wrong with its
// arguments, or "" if they are valid.
func (p *parser) validateArguments(q *Query) (bad string) {
	good := p.in &^ p.badIn
	switch string(q.Name) {
	case "ping":
		q.Kind = Ping
	case "find_node":
		q.Kind, q.HasTarget = FindNode, true
		return p.validateTarget()
	case "get_peers":
		q.Kind, q.HasTarget = GetPeers, true
		q.Target = p.hash
		switch {
		case good&kInfoHash == 0:
			return noHash
		case p.badIn&kWant != 0:
			return badWant
		case p.badIn&(kNoSeed|kScrape) != 0:
			return "noseed or scrape is not an integer"
		}
	case "announce_peer":
		q.Kind, q.HasTarget = AnnouncePeer, true
		q.Target = p.hash
		switch {
		case good&kInfoHash == 0:
			return noHash
		case good&kToken == 0:
			return "no token"
		case p.badIn&(kImpliedPort|kSeed) != 0:
			return "implied_port or seed is not an integer"
		// BEP 5: if implied_port is present and non-zero, the port argument
		// should be ignored.
		case q.ImpliedPort:
		case good&kPort == 0 || p.port < 1 || p.port > 65535:
			return "no port from 1 to 65535"
		default:
			q.Port = uint16(p.port)
		}
	case "get":
		q.Kind, q.HasTarget = Get, true
		if p.badIn&kSeq != 0 {
			return "seq is not an integer"
		}
		return p.validateTarget()
	case "put":
		q.Kind = Put
		return p.validatePut(q)
	case "sample_infohashes":
		q.Kind, q.HasTarget = SampleInfohashes, true
		return p.validateTarget()
	default:
		// Like libtorrent: an unknown query with a target or an info_hash is answered with
		// nodes, so that extensions can spread.
		switch {
		case good&kTarget != 0:
			q.HasTarget = true
		case good&kInfoHash != 0:
			q.Target, q.HasTarget = p.hash, true
		}
	}
	return ""
}

// validateTarget checks the arguments of a query for the nodes near a target.
func (p *parser) validateTarget() (bad string) {
	switch {
	case p.in&^p.badIn&kTarget == 0:
		return noTarget
	case p.badIn&kWant != 0:
		return badWant
	}
	return ""
}

// validatePut checks BEP 44's put. A put with a key or a signature is for a mutable item,
// and needs both and a sequence number.
func (p *parser) validatePut(q *Query) (bad string) {
	good := p.in &^ p.badIn
	switch {
	case good&kToken == 0:
		return "no token"
	case good&kV == 0:
		return "no v"
	case len(q.V) > MaxValue:
		q.BadCode = CodeValueTooBig
		return "v is longer than 1000 bytes"
	case p.badIn&kSalt != 0:
		return "salt is not a string"
	case len(q.Salt) > MaxSalt:
		q.BadCode = CodeSaltTooBig
		return "salt is longer than 64 bytes"
	case p.badIn&(kSeq|kCAS) != 0:
		return "seq or cas is not an integer"
	case p.in&(kK|kSig) == 0:
		// BEP 44: the cas field only applies to mutable puts.
		q.Seq, q.CAS, q.HasSeq, q.HasCAS = 0, 0, false, false
	case good&(kK|kSig|kSeq) != kK|kSig|kSeq:
		return "a mutable item needs k of 32 bytes, sig of 64 bytes and seq"
	case q.Seq < 0:
		return "seq is negative"
	}
	// BEP 44: if the value contains invalid bencoding (e.g. a dictionary with
	// unsorted keys), the storing node must reject the request.
	if _, err := bencode.ParseStrict(q.V, limits); err != nil {
		return "v is not canonical bencoding"
	}
	return ""
}
