package node

import (
	"fmt"
	"slices"
	"time"

	"seedbed/node/lifecycle"
)

// ReasonKind is the reason why a torrent receives no data.
type ReasonKind uint8

const (
	// ReasonNone: the torrent is not blocked.
	ReasonNone ReasonKind = iota
	// ReasonError: Snapshot.Paused is the error.
	ReasonError
	// ReasonDialing: the first Reason.Peers peers are being dialled.
	ReasonDialing
	// ReasonNoPeers: no peer is connected. Reason.Tried and Reason.Unreachable count the
	// dialled addresses, and Reason.Lookup says how peers are being searched for.
	ReasonNoPeers
	// ReasonNoMetadata: Reason.Peers are connected, and none of them offers the metadata.
	ReasonNoMetadata
	// ReasonMetadata: Reason.Peers were asked for the metadata.
	ReasonMetadata
	// ReasonChoked: Reason.Choking of the connected Reason.Peers choke us.
	ReasonChoked
	// ReasonMissingPieces: Reason.Peers are connected, and none of them has some of the missing
	// pieces.
	ReasonMissingPieces

	reasonKinds
)

var reasonNames = [reasonKinds]string{"", "error", "dialing", "no_peers", "no_metadata", "metadata", "choked", "missing_pieces"}

// String returns the name of the reason as it is written in JSON.
func (k ReasonKind) String() string { return nameOf("reason", reasonNames[:], uint8(k)) }

// MarshalText implements encoding.TextMarshaler.
func (k ReasonKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *ReasonKind) UnmarshalText(b []byte) error {
	i, err := kindOf("reason", reasonNames[:], b)
	*k = ReasonKind(i)
	return err
}

// Reason says why a torrent receives no data. It has only numbers, which the caller turns
// into text.
type Reason struct {
	Kind        ReasonKind `json:"kind"`
	Peers       int        `json:"peers,omitempty"`
	Choking     int        `json:"choking,omitempty"`
	Tried       int        `json:"tried,omitempty"`       // addresses dialled at least once
	Unreachable int        `json:"unreachable,omitempty"` // addresses that never answered
	Lookup      Lookup     `json:"lookup,omitzero"`
}

// LookupKind says what the DHT currently does for a torrent.
type LookupKind uint8

const (
	LookupNone LookupKind = iota
	// LookupPrivate: the torrent is private and must not use the DHT (BEP 27).
	LookupPrivate
	// LookupOff: the DHT is disabled.
	LookupOff
	// LookupNoNodes: no DHT node is known, and no bootstrap host is configured.
	LookupNoNodes
	// LookupBootstrapping: no DHT node is known yet; Lookup.Asked bootstrap hosts were queried.
	LookupBootstrapping
	// LookupNoInterface: the network interface of Config.Outbound is missing or down.
	LookupNoInterface
	// LookupNoProxy: the proxy of Config.Outbound cannot be reached, or refuses us.
	LookupNoProxy
	// LookupNoRelay: the proxy relays no datagrams, so the DHT is silent.
	LookupNoRelay
	// LookupNoRoute: no DHT node is known, and there is no route to any bootstrap host.
	LookupNoRoute
	// LookupNoDNS: no DHT node is known, and no bootstrap host name could be resolved.
	LookupNoDNS
	// LookupNoAnswer: no DHT node is known, and none of Lookup.Asked bootstrap hosts has
	// answered for several seconds.
	LookupNoAnswer
	// LookupRunning: Lookup.Asked nodes were queried so far.
	LookupRunning
	// LookupWaiting: the next lookup starts after Lookup.Next.
	LookupWaiting

	lookupKinds
)

var lookupNames = [lookupKinds]string{"", "private", "off", "no_nodes", "bootstrapping", "no_interface", "no_proxy", "no_relay", "no_route", "no_dns", "no_answer", "running", "waiting"}

// IsJoined returns false if the DHT is on, but no node of it is known and none can be found.
func (k LookupKind) IsJoined() bool {
	switch k {
	case LookupNoNodes, LookupNoInterface, LookupNoProxy, LookupNoRelay, LookupNoRoute, LookupNoDNS, LookupNoAnswer:
		return false
	}
	return true
}

// String returns the name of the kind as it is written in JSON.
func (k LookupKind) String() string { return nameOf("lookup", lookupNames[:], uint8(k)) }

// MarshalText implements encoding.TextMarshaler.
func (k LookupKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *LookupKind) UnmarshalText(b []byte) error {
	i, err := kindOf("lookup", lookupNames[:], b)
	*k = LookupKind(i)
	return err
}

// kindOf returns the kind with that name, for programs that read what another one has written.
func kindOf(what string, names []string, name []byte) (int, error) {
	i := slices.Index(names, string(name))
	if i < 0 {
		return 0, fmt.Errorf("%q is no %s", name, what)
	}
	return i, nil
}

func nameOf(what string, names []string, k uint8) string {
	if int(k) >= len(names) {
		return fmt.Sprintf("%s %d", what, k)
	}
	return names[k]
}

// Lookup describes what the DHT does for a torrent that has no peers.
type Lookup struct {
	Kind  LookupKind    `json:"kind"`
	Asked int           `json:"asked,omitempty"`   // nodes or hosts
	Next  time.Duration `json:"next_ns,omitempty"` // time until the next lookup
}

// reason returns why a torrent receives no data. It calls look only if the result is
// needed.
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
