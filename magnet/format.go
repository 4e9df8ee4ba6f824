package magnet

import (
	"encoding/hex"
	"strconv"
	"strings"
)

// String returns the link in canonical form: the identity first, then the hints, with
// everything escaped except letters, digits and a few punctuation marks. Parse returns
// the same Link for it, unless Other contains parameters for which Link has fields.
func (l *Link) String() string {
	b := builder{sep: '?'}
	b.WriteString("magnet:")
	if l.HasInfoHash {
		b.raw("xt", v1Prefix+l.InfoHash.String())
	}
	switch {
	case l.HasV2 && l.HasInfoHash:
		// BEP 9 allows xt twice, but rTorrent refuses a link with any xt other than btih.
		// Other clients read a numbered parameter or ignore it.
		b.raw("xt.2", v2Prefix+l.V2.String())
	case l.HasV2:
		b.raw("xt", v2Prefix+l.V2.String())
	}
	if l.HasPublicKey {
		b.raw("xs", keyPrefix+l.PublicKey.String())
		switch {
		case l.Secret.CanRead():
			b.raw(readParam, l.Secret.Text())
		case !l.Secret.IsZero():
			b.raw(keepParam, l.Secret.Text())
		case len(l.Salt) > 0:
			b.raw("s", hex.EncodeToString(l.Salt))
		}
	}
	if l.Name != "" {
		b.param("dn", l.Name)
	}
	if l.Length > 0 {
		b.raw("xl", strconv.FormatInt(l.Length, 10))
	}
	b.params("tr", l.Trackers)
	b.params("ws", l.WebSeeds)
	b.params("xs", l.ExactSources)
	b.params("as", l.Sources)
	if len(l.Keywords) > 0 {
		words := make([]string, len(l.Keywords))
		for k, w := range l.Keywords {
			words[k] = escape(w)
		}
		b.raw("kt", strings.Join(words, "+"))
	}
	for _, p := range l.Peers {
		b.raw("x.pe", escapeExcept(p, ":[]"))
	}
	if len(l.Select) > 0 {
		items := make([]string, len(l.Select))
		for k, r := range l.Select {
			items[k] = strconv.FormatUint(uint64(r.First), 10)
			if r.Last != r.First {
				items[k] += "-" + strconv.FormatUint(uint64(r.Last), 10)
			}
		}
		b.raw("so", strings.Join(items, ","))
	}
	for _, o := range l.Other {
		b.param(o.Key, o.Value)
	}
	return b.String()
}

// builder builds the parameters.
type builder struct {
	strings.Builder
	sep byte
}

func (b *builder) raw(key, value string) {
	b.WriteByte(b.sep)
	b.WriteString(key)
	b.WriteByte('=')
	b.WriteString(value)
	b.sep = '&'
}

func (b *builder) param(key, value string) { b.raw(escape(key), escape(value)) }

func (b *builder) params(key string, values []string) {
	for _, v := range values {
		b.param(key, v)
	}
}

func escape(s string) string { return escapeExcept(s, "") }

// escapeExcept percent-encodes all bytes except RFC 3986's unreserved characters and those
// in keep.
func escapeExcept(s, keep string) string {
	const upper = "0123456789ABCDEF"
	var b strings.Builder
	for _, c := range []byte(s) {
		switch {
		case 'a' <= c && c <= 'z', 'A' <= c && c <= 'Z', '0' <= c && c <= '9',
			c == '-', c == '.', c == '_', c == '~', strings.IndexByte(keep, c) >= 0:
			b.WriteByte(c)
		default:
			b.WriteByte('%')
			b.WriteByte(upper[c>>4])
			b.WriteByte(upper[c&15])
		}
	}
	return b.String()
}

// unescape decodes percent-encoding. A percent sign without two hexadecimal digits stands
// for itself, as in a name that was typed.
func unescape(s string) string {
	if strings.IndexByte(s, '%') < 0 {
		return s
	}
	out := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			var c [1]byte
			if _, err := hex.Decode(c[:], []byte(s[i+1:i+3])); err == nil {
				out = append(out, c[0])
				i += 2
				continue
			}
		}
		out = append(out, s[i])
	}
	return string(out)
}
