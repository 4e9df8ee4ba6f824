package krpc

import (
	"seedbed/internal/bencode"
	"seedbed/internal/id"
)

// Ask is the arguments of a query of ours. What is nil, false or zero is left
// out, but for ID; the pointers tell an absent number from 0, which BEP 44
// treats differently.
type Ask struct {
	ID               id.ID
	Target, InfoHash *id.ID
	Want4, Want6     bool // BEP 32
	Token            []byte
	Port             uint16 // announce_peer
	ImpliedPort      bool
	Seed, Scrape     bool // BEP 33

	// BEP 44. Value is the encoded value, K, Sig and Salt of 32, 64 and at most
	// 64 bytes.
	Value        bencode.Value
	K, Sig, Salt []byte
	Seq, Cas     *int64
}

// AppendQuery appends a query in canonical form. A put of a large value is
// longer than MaxDatagram: BEP 44 allows values of 1000 bytes and says that
// they are sent in one packet.
func AppendQuery(dst, t []byte, method string, a *Ask, readOnly bool) []byte {
	str := func(key string, b []byte) {
		if len(b) > 0 {
			dst = bencode.AppendBytes(bencode.AppendString(dst, key), b)
		}
	}
	num := func(key string, n int64) {
		dst = bencode.AppendInt(bencode.AppendString(dst, key), n)
	}
	dst = append(dst, "d1:ad"...)
	if a.Cas != nil {
		num("cas", *a.Cas)
	}
	str("id", a.ID[:])
	if a.ImpliedPort {
		num("implied_port", 1)
	}
	if a.InfoHash != nil {
		str("info_hash", a.InfoHash[:])
	}
	str("k", a.K)
	if a.Port != 0 {
		num("port", int64(a.Port))
	}
	str("salt", a.Salt)
	if a.Scrape {
		num("scrape", 1)
	}
	if a.Seed {
		num("seed", 1)
	}
	if a.Seq != nil {
		num("seq", *a.Seq)
	}
	str("sig", a.Sig)
	if a.Target != nil {
		str("target", a.Target[:])
	}
	str("token", a.Token)
	if len(a.Value) > 0 {
		dst = append(append(dst, "1:v"...), a.Value...)
	}
	if a.Want4 || a.Want6 {
		dst = append(dst, "4:wantl"...)
		if a.Want4 {
			dst = append(dst, "2:n4"...)
		}
		if a.Want6 {
			dst = append(dst, "2:n6"...)
		}
		dst = append(dst, 'e')
	}
	dst = bencode.AppendString(append(dst, "e1:q"...), method)
	if readOnly {
		dst = append(dst, "2:roi1e"...) // BEP 43
	}
	dst = bencode.AppendBytes(append(dst, "1:t"...), t)
	return append(dst, "1:v4:"+Version+"1:y1:qe"...)
}
