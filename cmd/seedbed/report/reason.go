package report

import (
	"fmt"
	"strings"
	"time"

	"seedbed/node"
)

// Why describes in one line why a torrent gets no data, or returns "" if it is not held up.
func Why(s *node.Snapshot) string {
	r := s.Reason
	switch r.Kind {
	case node.ReasonError:
		return "paused: " + Sentence(s.Paused)
	case node.ReasonDialing:
		return "connecting to " + Plural(r.Peers, "peer")
	case node.ReasonNoPeers:
		return whyNoPeers(&r)
	case node.ReasonNoMetadata:
		if r.Peers == 1 {
			return "connected to 1 peer; it does not have the metadata"
		}
		return fmt.Sprintf("connected to %d peers; none of them has the metadata", r.Peers)
	case node.ReasonMetadata:
		return "waiting for metadata from " + Plural(r.Peers, "peer")
	case node.ReasonChoked:
		switch {
		case r.Peers == 1:
			return "connected to 1 peer; it is not sending us data now (choked)"
		case r.Choking == r.Peers:
			return fmt.Sprintf("connected to %d peers; none is sending us data now (choked)", r.Peers)
		}
		is := "are"
		if r.Choking == 1 {
			is = "is"
		}
		return fmt.Sprintf("connected to %d peers; %d %s not sending us data now (choked)", r.Peers, r.Choking, is)
	case node.ReasonMissingPieces:
		if r.Peers == 1 {
			return "connected to 1 peer; it does not have all the missing pieces"
		}
		return fmt.Sprintf("connected to %d peers; together they do not have all the missing pieces", r.Peers)
	}
	return ""
}

// Progress describes the progress of an incomplete torrent.
func Progress(name string, s node.Snapshot) string {
	switch {
	case s.State == node.Checking:
		return fmt.Sprintf("checked %d %% of the existing files of %s", Percent(s.Checked, s.ToCheck), name)
	case s.Metadata:
		return fmt.Sprintf("downloaded %s of %s of %s", Size(s.HaveWanted), Size(s.Wanted), name)
	}
	if why := Why(&s); why != "" {
		return fmt.Sprintf("no metadata for %s yet (%s)", name, why)
	}
	return fmt.Sprintf("no metadata for %s yet", name)
}

// whyNoPeers describes which peers were tried and where more are searched for.
func whyNoPeers(r *node.Reason) string {
	tried := ""
	switch {
	case r.Tried == 0:
	case r.Unreachable == 0:
		tried = "tried " + Plural(r.Tried, "peer")
	case r.Unreachable == r.Tried:
		tried = "could not connect to " + Plural(r.Tried, "peer")
	default:
		tried = fmt.Sprintf("could not connect to %d of %d peers", r.Unreachable, r.Tried)
	}
	next := lookup(&r.Lookup)
	switch {
	case tried != "":
		return strings.TrimSuffix(tried+"; "+next, "; ")
	case r.Lookup.Kind == node.LookupWaiting:
		return "no peers found yet; " + next
	}
	return next
}

// lookup describes the DHT lookups of a torrent.
func lookup(l *node.Lookup) string {
	switch l.Kind {
	case node.LookupPrivate:
		return "the torrent is private, so only peers from --peer or the link are tried"
	case node.LookupOff:
		return "the DHT is off, so only peers from --peer or the link are tried"
	case node.LookupNoNodes:
		return "no DHT nodes are known; give one with --bootstrap"
	case node.LookupBootstrapping:
		return "connecting to the DHT through " + Plural(l.Asked, "bootstrap host")
	case node.LookupNoRoute:
		return "no network: no route to any bootstrap host; run seedbed doctor"
	case node.LookupNoDNS:
		return "no network, or DNS does not work: no bootstrap host name could be resolved; run seedbed doctor"
	case node.LookupNoAnswer:
		if l.Asked == 1 {
			return "the bootstrap host did not answer; run seedbed doctor"
		}
		return fmt.Sprintf("none of %d bootstrap hosts answered; run seedbed doctor", l.Asked)
	case node.LookupRunning:
		return fmt.Sprintf("searching the DHT, %s asked", Plural(l.Asked, "node"))
	case node.LookupWaiting:
		return "next lookup in " + span(l.Next)
	}
	return ""
}

// span formats a waiting time: "8 s", "15 min".
func span(d time.Duration) string {
	if d < 100*time.Second {
		return fmt.Sprintf("%d s", int(d.Round(time.Second).Seconds()))
	}
	return fmt.Sprintf("%d min", int(d.Round(time.Minute).Minutes()))
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
