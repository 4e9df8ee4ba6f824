package gateway

import (
	"net/url"
	"strings"
)

// parsePath returns the path in the tree that the escaped path of a URL names. isFolder reports that
// it ends with a slash; the result has none. ok is false for a path that no file can have: one with
// an escaped slash, an empty component, "." or "..".
func parsePath(escaped string) (path string, isFolder, ok bool) {
	rest, ok := strings.CutPrefix(escaped, "/")
	if !ok {
		return "", false, false
	}
	if rest == "" {
		return "", true, true
	}
	rest, isFolder = strings.CutSuffix(rest, "/")
	parts := strings.Split(rest, "/")
	for i, part := range parts {
		p, err := url.PathUnescape(part)
		if err != nil || p == "" || p == "." || p == ".." || strings.ContainsAny(p, "/\x00") {
			return "", false, false
		}
		parts[i] = p
	}
	return strings.Join(parts, "/"), isFolder, true
}

// escapePath returns the escaped path of a URL for a path in the tree. Each component is escaped
// alone, so that none of its characters can end it. A path with one component "//host" or `\\host`
// would otherwise be a URL on another host.
func escapePath(path string, isFolder bool) string {
	var b strings.Builder
	if path != "" {
		for part := range strings.SplitSeq(path, "/") {
			b.WriteByte('/')
			b.WriteString(url.PathEscape(part))
		}
	}
	if isFolder {
		b.WriteByte('/')
	}
	return b.String()
}
