package report

import (
	"fmt"
	"strings"

	"seedbed/node"
	"seedbed/node/lifecycle"
	objects "seedbed/node/view"
)

// Why describes in one line why a torrent gets no data, or returns "" if it is not held up.
func Why(s *node.Snapshot) string {
	r := &s.Reason
	if r.Kind == node.ReasonError {
		return "paused: " + Sentence(s.Paused)
	}
	why := objects.Why(s)
	if r.Kind == node.ReasonNoPeers && !r.Lookup.Kind.IsJoined() {
		return sentence(why, objects.Advice(s, Hint))
	}
	return why
}

// Progress describes the progress of an incomplete torrent.
func Progress(name string, s node.Snapshot) string {
	switch {
	case s.State == lifecycle.Checking:
		return fmt.Sprintf("checked %d %% of the existing files of %s", Percent(s.Checked, s.ToCheck), name)
	case s.Metadata:
		return fmt.Sprintf("downloaded %s of %s of %s", Size(s.HaveWanted), Size(s.Wanted), name)
	}
	if why := Why(&s); why != "" {
		return fmt.Sprintf("no metadata for %s yet (%s)", name, why)
	}
	return fmt.Sprintf("no metadata for %s yet", name)
}

// losses describes how many peers are banned and how many connections were closed because of
// the peer, with the reasons. It returns "" if there are none.
func losses(s *node.Snapshot) string {
	var parts []string
	if s.Banned > 0 {
		parts = append(parts, Plural(s.Banned, "peer")+" banned")
	}
	d := s.Dropped
	var reasons []string
	for _, r := range []struct {
		n    int
		what string
	}{{d.BadData, "sent bad data"}, {d.Protocol, "broke the protocol"}, {d.Slow, "too slow"}, {d.Silent, "stopped responding"}} {
		if r.n > 0 {
			reasons = append(reasons, fmt.Sprintf("%d %s", r.n, r.what))
		}
	}
	if len(reasons) > 0 {
		parts = append(parts, fmt.Sprintf("%d disconnected (%s)", d.BadData+d.Protocol+d.Slow+d.Silent, strings.Join(reasons, ", ")))
	}
	return strings.Join(parts, ", ")
}
