package node

import (
	"fmt"
	"strings"
	"time"

	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

// State is the phase of a torrent; package lifecycle documents all of them. Torrent.Phase
// tells a parked torrent from one that seeds, a Snapshot does not.
type State = lifecycle.Phase

// The phases that are shown.
const (
	FindingMetadata = lifecycle.Metadata
	Checking        = lifecycle.Checking
	Downloading     = lifecycle.Downloading
	SeedingState    = lifecycle.Seeding
	Stopped         = lifecycle.Ended
)

// Snapshot is a torrent at one moment, for people. Sizes are bytes, rates
// bytes a second.
type Snapshot struct {
	engine.Stats
	State            State
	Paused           error  // what holds the torrent up, or nil
	Checked, ToCheck int64  // while Checking or Moving
	Why              string // why nothing moves, in one calm line; "" when it moves
}

// Losses tells how many peers are banned and how many connections ended for what
// the peer did, with the reasons; "" for none.
func (s *Snapshot) Losses() string {
	var parts []string
	if s.Banned > 0 {
		parts = append(parts, count(s.Banned, "peer")+" banned")
	}
	d := s.Dropped
	var reasons []string
	for _, r := range []struct {
		n    int
		what string
	}{{d.BadData, "sent bad data"}, {d.Protocol, "broke the protocol"}, {d.Slow, "too slow"}, {d.Silent, "silent"}} {
		if r.n > 0 {
			reasons = append(reasons, fmt.Sprintf("%d %s", r.n, r.what))
		}
	}
	if len(reasons) > 0 {
		parts = append(parts, fmt.Sprintf("%d dropped (%s)", d.BadData+d.Protocol+d.Slow+d.Silent, strings.Join(reasons, ", ")))
	}
	return strings.Join(parts, ", ")
}

// dhtView is what the calm line needs to know of the DHT.
type dhtView struct {
	off      bool // turned off, or the torrent is private
	private  bool
	nodes    int
	hosts    int           // bootstrap hosts
	asked    int           // nodes asked by the running lookup
	running  bool          // a lookup runs
	untilAsk time.Duration // to the next lookup
}

// why says in one line why a torrent does not move.
func why(s *Snapshot, d dhtView) string {
	switch {
	case s.Paused != nil:
		return "paused: " + s.Paused.Error()
	case s.State != lifecycle.Metadata && s.State != lifecycle.Downloading:
		return ""
	case s.Connected == 0:
		return whyNoPeers(s, d)
	case s.State == lifecycle.Metadata && s.MetaPeers == 0:
		return fmt.Sprintf("connected to %s, none of which offers the metadata", count(s.Connected, "peer"))
	case s.State == lifecycle.Metadata:
		return "waiting for metadata from " + count(s.MetaPeers, "peer")
	case s.DownRate >= 1:
		return ""
	case s.ChokedBy > 0 && s.ChokedBy >= s.Connected:
		return "choked by all " + count(s.Connected, "peer")
	case s.ChokedBy > 0:
		return fmt.Sprintf("choked by %d of %s", s.ChokedBy, count(s.Connected, "peer"))
	case s.Availability < 1 && s.Seeds == 0:
		return fmt.Sprintf("connected to %s, which together lack some of the missing pieces", count(s.Connected, "peer"))
	}
	return ""
}

func whyNoPeers(s *Snapshot, d dhtView) string {
	tried := ""
	if s.Tried > 0 {
		tried = fmt.Sprintf("%s tried, of which %d refused", count(s.Tried, "peer"), s.Refused)
	}
	var look string
	switch {
	case s.Dialing > 0 && tried == "":
		return "dialling " + count(s.Dialing, "peer")
	case d.private:
		look = "the torrent is private: only peers given with --peer or x.pe are tried"
	case d.off:
		look = "the DHT is off: only peers given with --peer or x.pe are tried"
	case d.nodes == 0 && d.hosts == 0:
		look = "no DHT nodes known and no bootstrap hosts given"
	case d.nodes == 0:
		look = fmt.Sprintf("no DHT nodes yet, %s asked", count(d.hosts, "bootstrap host"))
	case d.running:
		look = fmt.Sprintf("lookup running, %s asked", count(d.asked, "DHT node"))
	case tried == "":
		look = fmt.Sprintf("no peers found yet, next lookup in %d s", int(d.untilAsk.Seconds()))
	default:
		look = fmt.Sprintf("next lookup in %d s", int(d.untilAsk.Seconds()))
	}
	if tried == "" {
		return look
	}
	return tried + "; " + look
}

func count(n int, noun string) string {
	if n == 1 {
		return "1 " + noun
	}
	return fmt.Sprintf("%d %ss", n, noun)
}
