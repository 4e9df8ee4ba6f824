package metainfo

import "strconv"

// Error says what is wrong with an info dictionary or a torrent file.
type Error struct {
	Field  string // where: "piece length", "files[3].path"; empty for the whole
	Part   string // the bad text or number, if there is one
	Reason string // what is wrong with it, as the end of a sentence
}

// Error is one sentence; what came from outside is quoted, and cut if long.
func (e *Error) Error() string {
	s := "torrent: "
	if e.Field != "" {
		s += e.Field + ": "
	}
	if e.Part != "" {
		p := e.Part
		if len(p) > 80 {
			p = p[:80] + "…"
		}
		s += strconv.Quote(p) + " "
	}
	return s + e.Reason
}
