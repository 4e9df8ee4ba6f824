package report

import (
	"errors"
	"strings"

	"seedbed/node"
)

// Hint returns what to do about err, or "".
func Hint(err error) string {
	var h interface{ Hint() string }
	if errors.As(err, &h) {
		return h.Hint()
	}
	if errors.Is(err, node.ErrLocked) {
		return "stop that process, or give this one a --state directory of its own"
	}
	return ""
}

// Sentence returns err with its hint as one line for a person.
func Sentence(err error) string {
	s := err.Error()
	if h := Hint(err); h != "" && !strings.Contains(s, h) {
		s += "; " + h
	}
	return s
}
