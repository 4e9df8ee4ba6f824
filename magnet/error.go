package magnet

import (
	"strconv"

	"seedbed/internal/excerpt"
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
	return "magnet link: " + strconv.Quote(excerpt.Of(e.Part, 100)) + " " + e.Reason
}
