package stream

import "strings"

// cleanRange returns a Range header in the form that http.ServeContent handles as
// RFC 9110 says, or "" if it is to be ignored. satisfiable is false if no range
// holds a byte, whatever the size is.
func cleanRange(header string) (clean string, satisfiable bool) {
	unit, list, ok := strings.Cut(header, "=")
	// Section 14.2: "A server MUST ignore a Range header field received with [...] a
	// range unit it does not understand". Section 14.1: units are case-insensitive.
	if !ok || !strings.EqualFold(strings.TrimSpace(unit), "bytes") {
		return "", true
	}
	var kept []string
	for part := range strings.SplitSeq(list, ",") {
		part = strings.TrimSpace(part)
		// Section 14.1.2: a suffix range is satisfiable if its length is not zero.
		if n, suffix := strings.CutPrefix(part, "-"); part == "" || suffix && n != "" && strings.Trim(n, "0") == "" {
			continue
		}
		kept = append(kept, part)
	}
	if kept == nil {
		return "", false
	}
	return "bytes=" + strings.Join(kept, ","), true
}
