package magnet

import (
	"strconv"
	"unicode/utf8"
)

// Error says which part of a link is wrong and what is expected there.
type Error struct {
	Part   string // as in the link, decoded; may be empty
	Reason string // what is wrong with it, as the end of a sentence
}

// Error returns one sentence; the part is quoted, and truncated if long.
func (e *Error) Error() string {
	if e.Part == "" {
		return "magnet link: " + e.Reason
	}
	return "magnet link: " + strconv.Quote(cut(e.Part)) + " " + e.Reason
}

// cut truncates a long string.
func cut(s string) string {
	const enough = 100
	if len(s) <= enough {
		return s
	}
	n := enough
	for n > enough-utf8.UTFMax && !utf8.RuneStart(s[n]) {
		n--
	}
	return s[:n] + "…"
}
