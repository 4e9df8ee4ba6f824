package report

import (
	"errors"
	"strings"

	"seedbed/internal/netx"
	"seedbed/internal/statefile"
	"seedbed/node"
)

// Hint returns advice for the user about err, or "".
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
		return "stop that process, or give this one another --state directory"
	}
	return ""
}

// Sentence formats err and its hint as one line for a person.
func Sentence(err error) string { return sentence(err.Error(), Hint(err)) }

func sentence(s, hint string) string {
	if hint != "" && !strings.Contains(s, hint) {
		s += "; " + hint
	}
	return s
}
