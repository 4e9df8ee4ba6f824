package metainfo

import (
	"strconv"

	"seedbed/internal/excerpt"
)

// Error describes what is wrong with an info dictionary or a torrent file.
type Error struct {
	Field  string // "piece length", "files[3].path"; empty for the whole
	Part   string // the wrong text or number, if any
	Reason string // what is wrong with it, as the end of a sentence
}

// Error returns one sentence; untrusted text is quoted, and truncated if long.
func (e *Error) Error() string {
	s := "torrent: "
	if e.Field != "" {
		s += e.Field + ": "
	}
	if e.Part != "" {
		s += strconv.Quote(excerpt.Of(e.Part, 80)) + " "
	}
	return s + e.Reason
}
