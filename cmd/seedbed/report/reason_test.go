package report

import (
	"errors"
	"testing"
	"time"

	"seedbed/node"
	"seedbed/swarm/engine"
)

func TestWhyInWords(t *testing.T) {
	none := func(tried, unreachable int, l node.Lookup) node.Reason {
		return node.Reason{Kind: node.ReasonNoPeers, Tried: tried, Unreachable: unreachable, Lookup: l}
	}
	waiting := node.Lookup{Kind: node.LookupWaiting, Next: 899 * time.Second}
	for _, c := range []struct {
		r    node.Reason
		want string
	}{
		{node.Reason{}, ""},
		{node.Reason{Kind: node.ReasonError}, "paused: no space"},
		{node.Reason{Kind: node.ReasonDialing, Peers: 2}, "connecting to 2 peers"},
		{none(0, 0, node.Lookup{Kind: node.LookupBootstrapping, Asked: 6}), "connecting to the DHT through 6 bootstrap hosts"},
		{none(0, 0, node.Lookup{Kind: node.LookupNoRoute}), "no network: no route to any bootstrap host; run seedbed doctor"},
		{none(0, 0, node.Lookup{Kind: node.LookupNoDNS}), "no network, or DNS does not work: no bootstrap host name could be resolved; run seedbed doctor"},
		{none(0, 0, node.Lookup{Kind: node.LookupNoAnswer, Asked: 1}), "the bootstrap host did not answer; run seedbed doctor"},
		{none(0, 0, node.Lookup{Kind: node.LookupNoAnswer, Asked: 6}), "none of 6 bootstrap hosts answered; run seedbed doctor"},
		{none(0, 0, node.Lookup{Kind: node.LookupNoNodes}), "no DHT nodes are known; give one with --bootstrap"},
		{none(0, 0, node.Lookup{Kind: node.LookupOff}), "the DHT is off, so only peers from --peer or the link are tried"},
		{none(2, 0, node.Lookup{Kind: node.LookupPrivate}), "tried 2 peers; the torrent is private, so only peers from --peer or the link are tried"},
		{none(0, 0, node.Lookup{Kind: node.LookupRunning, Asked: 1}), "searching the DHT, 1 node asked"},
		{none(0, 0, waiting), "no peers found yet; next lookup in 15 min"},
		{none(1, 1, waiting), "could not connect to 1 peer; next lookup in 15 min"},
		{none(3, 2, node.Lookup{Kind: node.LookupWaiting, Next: 8500 * time.Millisecond}), "could not connect to 2 of 3 peers; next lookup in 9 s"},
		{none(3, 3, node.Lookup{}), "could not connect to 3 peers"},
		{node.Reason{Kind: node.ReasonMetadata, Peers: 1}, "waiting for metadata from 1 peer"},
		{node.Reason{Kind: node.ReasonNoMetadata, Peers: 1}, "connected to 1 peer; it does not have the metadata"},
		{node.Reason{Kind: node.ReasonNoMetadata, Peers: 2}, "connected to 2 peers; none of them has the metadata"},
		{node.Reason{Kind: node.ReasonChoked, Peers: 1, Choking: 1}, "connected to 1 peer; it is not sending us data now (choked)"},
		{node.Reason{Kind: node.ReasonChoked, Peers: 3, Choking: 3}, "connected to 3 peers; none is sending us data now (choked)"},
		{node.Reason{Kind: node.ReasonChoked, Peers: 3, Choking: 1}, "connected to 3 peers; 1 is not sending us data now (choked)"},
		{node.Reason{Kind: node.ReasonMissingPieces, Peers: 1}, "connected to 1 peer; it does not have all the missing pieces"},
		{node.Reason{Kind: node.ReasonMissingPieces, Peers: 2}, "connected to 2 peers; together they do not have all the missing pieces"},
	} {
		if got := Why(&node.Snapshot{Reason: c.r, Paused: errors.New("no space")}); got != c.want {
			t.Errorf("%+v: %q, want %q", c.r, got, c.want)
		}
	}
}

func TestLossesHaveReasons(t *testing.T) {
	for _, c := range []struct {
		s    engine.Stats
		want string
	}{
		{engine.Stats{}, ""},
		{engine.Stats{Banned: 1, Dropped: engine.Drops{BadData: 1}}, "1 peer banned, 1 disconnected (1 sent bad data)"},
		{engine.Stats{Banned: 2}, "2 peers banned"},
		{engine.Stats{Dropped: engine.Drops{Protocol: 2, Slow: 1, Silent: 3}}, "6 disconnected (2 broke the protocol, 1 too slow, 3 stopped responding)"},
	} {
		if got := losses(&node.Snapshot{Stats: c.s}); got != c.want {
			t.Errorf("%q, want %q", got, c.want)
		}
	}
}
