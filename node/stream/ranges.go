package stream

import "strings"

// maxRanges is the maximum number of ranges that are served in one answer.
const maxRanges = 16

// cleanRange rewrites a Range header so that http.ServeContent handles it as RFC 9110
// requires. It returns "" if the header must be ignored. satisfiable is false if no range
// in it can contain a byte, whatever the size of the file.
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
	// Section 14.2: a server may ignore a header with "many small ranges", which are work for us
	// and of no use to a player.
	if len(kept) > maxRanges {
		return "", true
	}
	return "bytes=" + strings.Join(kept, ","), true
}
