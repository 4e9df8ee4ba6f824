package view

import (
	"fmt"
	"strings"
	"time"

	"seedbed/node"
)

// Why describes in one line why a torrent gets no data, or returns "" if it is not held up. Advice
// says what to do about it.
func Why(s *node.Snapshot) string {
	r := s.Reason
	switch r.Kind {
	case node.ReasonError:
		return s.Paused.Error()
	case node.ReasonDialing:
		return "connecting to " + count(r.Peers, "peer")
	case node.ReasonNoPeers:
		return whyNoPeers(&r)
	case node.ReasonNoMetadata:
		if r.Peers == 1 {
			return "connected to 1 peer; it does not have the metadata"
		}
		return fmt.Sprintf("connected to %d peers; none of them has the metadata", r.Peers)
	case node.ReasonMetadata:
		return "waiting for metadata from " + count(r.Peers, "peer")
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

// whyNoPeers describes which peers were tried and where more are searched for.
func whyNoPeers(r *node.Reason) string {
	tried := ""
	switch {
	case r.Tried == 0:
	case r.Unreachable == 0:
		tried = "tried " + count(r.Tried, "peer")
	case r.Unreachable == r.Tried:
		tried = "could not connect to " + count(r.Tried, "peer")
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
		return "no DHT nodes are known"
	case node.LookupBootstrapping:
		return "connecting to the DHT through " + count(l.Asked, "bootstrap host")
	case node.LookupNoInterface:
		return "waiting for the network interface of --bind-interface"
	case node.LookupNoProxy:
		return "the proxy of --proxy cannot be used"
	case node.LookupNoRelay:
		return "the proxy relays no datagrams, so the DHT is silent"
	case node.LookupNoRoute:
		return "no network: no route to any bootstrap host"
	case node.LookupNoDNS:
		return "no network, or DNS does not work: no bootstrap host name could be resolved"
	case node.LookupNoAnswer:
		if l.Asked == 1 {
			return "the bootstrap host did not answer"
		}
		return fmt.Sprintf("none of %d bootstrap hosts answered", l.Asked)
	case node.LookupRunning:
		return fmt.Sprintf("searching the DHT, %s asked", count(l.Asked, "node"))
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

// Advice says what a user can do about what Why describes, or returns "" if there is nothing to do.
// hint returns what to do about an error.
func Advice(s *node.Snapshot, hint func(error) string) string {
	r := &s.Reason
	switch r.Kind {
	case node.ReasonError:
		return hint(s.Paused)
	case node.ReasonNoPeers:
		return adviceNoPeers(r)
	case node.ReasonNoMetadata, node.ReasonMissingPieces:
		return "wait until a peer that has the rest connects, or name one"
	}
	return ""
}

func adviceNoPeers(r *node.Reason) string {
	switch r.Lookup.Kind {
	case node.LookupPrivate, node.LookupOff:
		return "name a peer that has the torrent"
	case node.LookupNoNodes:
		return "give one with --bootstrap"
	case node.LookupNoInterface:
		return "connect the VPN, or correct the name of the interface"
	case node.LookupNoRelay:
		return "use a proxy with UDP ASSOCIATE, or name peers with --peer"
	case node.LookupNoProxy, node.LookupNoRoute, node.LookupNoDNS, node.LookupNoAnswer:
		return "run seedbed doctor"
	case node.LookupWaiting:
		if r.Tried > 0 && r.Unreachable == r.Tried {
			return "these peers are offline or behind NATs: wait for others, or run seedbed doctor if no torrent finds any"
		}
		return "check the link, or wait until a peer that has the torrent is online"
	}
	return ""
}

// SearchOf returns the object of a search for metadata.
func SearchOf(s *node.Snapshot) *Search {
	return &Search{Reason: s.Reason, Why: Why(s), Hint: Advice(s, func(error) string { return "" }), Known: s.Known, Dialing: s.Dialing, Tried: s.Tried,
		Unreachable: s.Refused, Connected: s.Connected, Offers: s.MetaOffers, MetadataHave: s.MetaHave, MetadataSize: s.MetaSize}
}

// count returns "1 peer" or "2 peers".
func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
