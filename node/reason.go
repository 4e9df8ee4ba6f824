package node

import (
	"fmt"
	"time"

	"seedbed/node/lifecycle"
)

// ReasonKind says what a torrent that gets no data waits for.
type ReasonKind uint8

const (
	// ReasonNone: nothing holds the torrent up.
	ReasonNone ReasonKind = iota
	// ReasonError: Snapshot.Paused.
	ReasonError
	// ReasonDialing: the first connections are being made, to Reason.Peers.
	ReasonDialing
	// ReasonNoPeers: no peer is connected. Reason.Tried and Reason.Unreachable say what was
	// tried, Reason.Lookup where more peers are to come from.
	ReasonNoPeers
	// ReasonNoMetadata: Reason.Peers are connected, and none offers the metadata.
	ReasonNoMetadata
	// ReasonMetadata: Reason.Peers were asked for the metadata.
	ReasonMetadata
	// ReasonChoked: Reason.Choking of the connected Reason.Peers choke us.
	ReasonChoked
	// ReasonMissingPieces: Reason.Peers are connected, and some missing pieces are at none of
	// them.
	ReasonMissingPieces

	reasonKinds
)

var reasonNames = [reasonKinds]string{"", "error", "dialing", "no_peers", "no_metadata", "metadata", "choked", "missing_pieces"}

// String returns the name of the reason as it is written in JSON.
func (k ReasonKind) String() string { return nameOf("reason", reasonNames[:], uint8(k)) }

// MarshalText implements encoding.TextMarshaler.
func (k ReasonKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// A Reason says why a torrent gets no data. It holds numbers only: who shows it finds the
// words.
type Reason struct {
	Kind        ReasonKind `json:"kind"`
	Peers       int        `json:"peers,omitempty"`
	Choking     int        `json:"choking,omitempty"`
	Tried       int        `json:"tried,omitempty"`       // addresses dialled at least once
	Unreachable int        `json:"unreachable,omitempty"` // of those, the ones that never answered
	Lookup      Lookup     `json:"lookup,omitzero"`
}

// LookupKind says what the DHT does for a torrent.
type LookupKind uint8

const (
	LookupNone LookupKind = iota
	// LookupPrivate: the torrent is private, and the DHT must not be asked (BEP 27).
	LookupPrivate
	// LookupOff: the DHT is turned off.
	LookupOff
	// LookupNoNodes: no DHT node is known, and there is no bootstrap host to ask.
	LookupNoNodes
	// LookupBootstrapping: no DHT node is known yet; Lookup.Asked bootstrap hosts are asked.
	LookupBootstrapping
	// LookupNoRoute: no DHT node is known, and there is no route to any bootstrap host.
	LookupNoRoute
	// LookupNoDNS: no DHT node is known, and no bootstrap host name could be resolved.
	LookupNoDNS
	// LookupNoAnswer: no DHT node is known, and none of Lookup.Asked bootstrap hosts has
	// answered for some seconds.
	LookupNoAnswer
	// LookupRunning: Lookup.Asked nodes were asked so far.
	LookupRunning
	// LookupWaiting: the next lookup begins after Lookup.Next.
	LookupWaiting

	lookupKinds
)

var lookupNames = [lookupKinds]string{"", "private", "off", "no_nodes", "bootstrapping", "no_route", "no_dns", "no_answer", "running", "waiting"}

// String returns the name of the kind as it is written in JSON.
func (k LookupKind) String() string { return nameOf("lookup", lookupNames[:], uint8(k)) }

// MarshalText implements encoding.TextMarshaler.
func (k LookupKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

func nameOf(what string, names []string, k uint8) string {
	if int(k) >= len(names) {
		return fmt.Sprintf("%s %d", what, k)
	}
	return names[k]
}

// A Lookup is what the DHT does for a torrent that has no peers.
type Lookup struct {
	Kind  LookupKind    `json:"kind"`
	Asked int           `json:"asked,omitempty"`   // nodes or hosts
	Next  time.Duration `json:"next_ns,omitempty"` // until the next lookup
}

// reason returns why a torrent gets no data. look is asked only where it matters.
func reason(s *Snapshot, look func() Lookup) Reason {
	switch {
	case s.Paused != nil:
		return Reason{Kind: ReasonError}
	case s.State != lifecycle.Metadata && s.State != lifecycle.Downloading:
		return Reason{}
	case s.Connected == 0 && s.Dialing > 0 && s.Tried == 0:
		return Reason{Kind: ReasonDialing, Peers: s.Dialing}
	case s.Connected == 0:
		return Reason{Kind: ReasonNoPeers, Tried: s.Tried, Unreachable: s.Refused, Lookup: look()}
	case s.State == lifecycle.Metadata && s.MetaPeers == 0:
		return Reason{Kind: ReasonNoMetadata, Peers: s.Connected}
	case s.State == lifecycle.Metadata:
		return Reason{Kind: ReasonMetadata, Peers: s.MetaPeers}
	case s.DownRate >= 1:
		return Reason{}
	case s.ChokedBy > 0:
		return Reason{Kind: ReasonChoked, Peers: s.Connected, Choking: min(s.ChokedBy, s.Connected)}
	case s.Availability < 1 && s.Seeds == 0:
		return Reason{Kind: ReasonMissingPieces, Peers: s.Connected}
	}
	return Reason{}
}
