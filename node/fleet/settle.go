package fleet

import (
	"slices"
	"time"

	"seedbed/internal/mono"
)

// A change of the members takes effect when the members have stayed the same for some time: settleJoin if no member is
// missing, and settleLoss otherwise, so that a member that restarts quickly moves nothing. It takes effect after
// settleAtMost in any case, or one member that comes and goes would hold up all others.
const (
	settleJoin   = 3 * time.Second
	settleLoss   = 10 * time.Second
	settleAtMost = 13 * time.Second
)

// settling decides when a change of the members takes effect.
type settling struct {
	current []string  // the members that own torrents, sorted
	next    []string  // those that will, if nothing changes
	since   mono.Time // when next last changed
	first   mono.Time // when next began to differ from current; 0: it does not
}

// step takes the names of the live members, sorted, and reports whether current has changed. Nothing takes effect before the
// first step for which isReady is true.
func (s *settling) step(now mono.Time, live []string, isReady bool) (changed bool) {
	if slices.Equal(live, s.current) {
		s.first = 0
		return false
	}
	if s.first == 0 || !slices.Equal(live, s.next) {
		s.next, s.since = slices.Clone(live), now
	}
	if s.first == 0 {
		s.first = now
	}
	wait := settleJoin
	if slices.ContainsFunc(s.current, func(name string) bool { _, has := slices.BinarySearch(live, name); return !has }) {
		wait = settleLoss
	}
	if !isReady || now.Sub(s.since) < wait && now.Sub(s.first) < settleAtMost {
		return false
	}
	s.current, s.first = s.next, 0
	return true
}
