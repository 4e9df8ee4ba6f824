package dht

import (
	akrpc "github.com/anacrolix/dht/v2/krpc"

	"seedbed/dht/krpc"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

// queryArgs has the arguments of a query: those of the library's type, and two that it
// lacks. They must not change after the query is queued, because the queries of a lookup
// share them. V holds a bencode.Value. ID is not used, because a query contains the id that
// the node has at the time of sending.
type queryArgs struct {
	akrpc.MsgArgs
	Seed   bool // announce_peer: we are a seed (BEP 33)
	HasCas bool // put: send Cas, even if it is 0 (BEP 44)
}

// appendQuery appends a query in canonical form. The method decides whether it has a
// target or an infohash. A put of a large value is longer than krpc.MaxDatagram: BEP 44
// allows values of 1000 bytes and sends them in one packet.
func appendQuery(dst, t []byte, own id.ID, method string, a *queryArgs, readOnly bool) []byte {
	str := func(key string, b []byte) { dst = bencode.AppendBytes(bencode.AppendString(dst, key), b) }
	num := func(key string, n int64) { dst = bencode.AppendInt(bencode.AppendString(dst, key), n) }
	dst = append(dst, "d1:ad"...)
	if a.HasCas {
		num("cas", a.Cas)
	}
	str("id", own[:])
	if method == "get_peers" || method == "announce_peer" {
		str("info_hash", a.InfoHash[:])
	}
	isMutable := a.K != [krpc.KeyLen]byte{}
	if isMutable {
		str("k", a.K[:])
	}
	if a.Port != nil {
		num("port", int64(*a.Port))
	}
	if len(a.Salt) > 0 {
		str("salt", a.Salt)
	}
	if a.Scrape != 0 {
		num("scrape", 1)
	}
	if a.Seed {
		num("seed", 1)
	}
	if a.Seq != nil {
		num("seq", *a.Seq)
	}
	if isMutable {
		str("sig", a.Sig[:])
	}
	if method == "find_node" || method == "get" || method == "sample_infohashes" {
		str("target", a.Target[:])
	}
	if a.Token != "" {
		dst = bencode.AppendString(append(dst, "5:token"...), a.Token)
	}
	if v, ok := a.V.(bencode.Value); ok {
		dst = append(append(dst, "1:v"...), v...)
	}
	if len(a.Want) > 0 {
		dst = append(dst, "4:wantl"...)
		for _, w := range a.Want {
			dst = bencode.AppendString(dst, string(w))
		}
		dst = append(dst, 'e')
	}
	dst = bencode.AppendString(append(dst, "e1:q"...), method)
	if readOnly {
		dst = append(dst, "2:roi1e"...) // BEP 43
	}
	dst = bencode.AppendBytes(append(dst, "1:t"...), t)
	return append(dst, "1:v4:"+krpc.Version+"1:y1:qe"...)
}

// returned copies the return values for items, filters and samples from a response. It
// leaves out nodes and values, which the lookup reads.
func returned(m *krpc.Message) *akrpc.Return {
	r := m.Returned()
	out := &akrpc.Return{ID: akrpc.ID(m.Response.ID)}
	if r.Value != nil {
		out.V = append(out.V, r.Value...)
	}
	copy(out.K[:], r.K)
	copy(out.Sig[:], r.Sig)
	if r.HasSeq {
		out.Seq = &r.Seq
	}
	if r.BloomSeeds != nil {
		out.BFsd = clone((*akrpc.ScrapeBloomFilter)(r.BloomSeeds))
	}
	if r.BloomPeers != nil {
		out.BFpe = clone((*akrpc.ScrapeBloomFilter)(r.BloomPeers))
	}
	if r.HasSamples {
		samples := make(akrpc.CompactInfohashes, 0, len(r.Samples)/id.Len)
		for b := r.Samples; len(b) > 0; b = b[id.Len:] {
			samples = append(samples, [id.Len]byte(b))
		}
		out.Samples, out.Num, out.Interval = &samples, &r.Num, &r.Interval
	}
	return out
}

func clone[T any](p *T) *T {
	v := *p
	return &v
}
