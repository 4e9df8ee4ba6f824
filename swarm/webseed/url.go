package webseed

import (
	"cmp"
	"fmt"
	"net/url"
	"strings"

	"seedbed/magnet/metainfo"
)

// CheckURL returns an error if the URL cannot be that of a web seed.
func CheckURL(s string) error {
	u, err := url.Parse(encode(s))
	if err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		return fmt.Errorf("%q is not an http or https URL", s)
	}
	return nil
}

// FileURL returns the URL of a file (BEP 19): the base URL itself, if it does not end in
// a slash and the torrent is a single file; otherwise the torrent's name and the file's
// path below it. The result is encoded.
func FileURL(base string, info *metainfo.Info, file int) string {
	base = encode(base)
	if !info.IsMulti() && !strings.HasSuffix(base, "/") {
		return base
	}
	f := &info.Files[file]
	path := f.Path
	if l := f.Literal(); l != nil {
		path = l // as spelled in the torrent
	}
	inQuery := strings.Contains(base, "?")
	parts := []string{strings.TrimSuffix(base, "/")}
	if info.IsMulti() {
		parts = append(parts, encodeName(cmp.Or(info.LiteralName(), info.Name), inQuery))
	}
	for _, c := range path {
		parts = append(parts, encodeName(c, inQuery))
	}
	return strings.Join(parts, "/")
}

// encodeName encodes a name for a path or, for scripts that take a path, for a query, so
// that no character of it ends a parameter.
func encodeName(name string, inQuery bool) string {
	if inQuery {
		return strings.ReplaceAll(url.QueryEscape(name), "+", "%20")
	}
	return url.PathEscape(name)
}

// encode encodes invalid characters (RFC 3986) of a URL that may already be partly
// encoded: everything except the allowed characters, and "%" unless two hex digits
// follow. The host is left to net/http. A "#" is part of a name, because the URL of a web
// seed has no fragment.
func encode(s string) string {
	s = strings.TrimSpace(s)
	scheme, rest, ok := strings.Cut(s, "://")
	if !ok {
		return s
	}
	host := rest
	if i := strings.IndexAny(rest, "/?#"); i >= 0 {
		host = rest[:i]
	}
	var b strings.Builder
	b.WriteString(strings.ToLower(scheme) + "://" + host)
	encodeInto(&b, rest[len(host):])
	return b.String()
}

// encodeQuery is encode for a query.
func encodeQuery(s string) string {
	var b strings.Builder
	encodeInto(&b, s)
	return b.String()
}

func encodeInto(b *strings.Builder, s string) {
	for i := range len(s) {
		c := s[i]
		switch {
		case c == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]), c != '%' && isAllowed(c):
			b.WriteByte(c)
		default:
			fmt.Fprintf(b, "%%%02X", c)
		}
	}
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'f' || 'A' <= c && c <= 'F'
}

// isAllowed reports whether RFC 3986 allows c in a path or a query.
func isAllowed(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' ||
		strings.IndexByte("-._~!$&'()*+,;=:@/?", c) >= 0
}
