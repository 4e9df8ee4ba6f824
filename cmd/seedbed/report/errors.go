package report

import (
	"errors"
	"strings"

	"seedbed/internal/netx"
	"seedbed/internal/statefile"
	"seedbed/node"
)

// Hint returns advice on err, or "".
func Hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	var ne *netx.Error
	if errors.As(err, &ne) {
		return ne.Hint
	}
	if errors.Is(err, node.ErrLocked) || errors.Is(err, statefile.ErrLocked) {
		return "stop that process, or give this one a --state directory of its own"
	}
	return ""
}

// Sentence formats err and its hint as one line for a person.
func Sentence(err error) string {
	s := err.Error()
	if h := Hint(err); h != "" && !strings.Contains(s, h) {
		s += "; " + h
	}
	return s
}
