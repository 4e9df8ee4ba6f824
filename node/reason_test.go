package node

import (
	"errors"
	"testing"

	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

// While no data arrives, the reason says why; while data arrives, there is none.
func TestReason(t *testing.T) {
	meta := func(s engine.Stats) Snapshot { return Snapshot{Stats: s, State: lifecycle.Metadata} }
	down := func(s engine.Stats) Snapshot {
		s.Metadata = true
		return Snapshot{Stats: s, State: lifecycle.Downloading}
	}
	lookup := Lookup{Kind: LookupRunning, Asked: 7}
	for name, c := range map[string]struct {
		s    Snapshot
		want Reason
	}{
		"no peers":            {meta(engine.Stats{}), Reason{Kind: ReasonNoPeers, Lookup: lookup}},
		"dialling":            {meta(engine.Stats{Dialing: 2}), Reason{Kind: ReasonDialing, Peers: 2}},
		"dialling once more":  {meta(engine.Stats{Dialing: 2, Tried: 3, Refused: 1}), Reason{Kind: ReasonNoPeers, Tried: 3, Unreachable: 1, Lookup: lookup}},
		"metadata":            {meta(engine.Stats{Connected: 3, MetaPeers: 1}), Reason{Kind: ReasonMetadata, Peers: 1}},
		"no metadata offered": {meta(engine.Stats{Connected: 1}), Reason{Kind: ReasonNoMetadata, Peers: 1}},
		"choked":              {down(engine.Stats{Connected: 3, ChokedBy: 3}), Reason{Kind: ReasonChoked, Peers: 3, Choking: 3}},
		"half choked":         {down(engine.Stats{Connected: 3, ChokedBy: 1}), Reason{Kind: ReasonChoked, Peers: 3, Choking: 1}},
		"missing pieces":      {down(engine.Stats{Connected: 2}), Reason{Kind: ReasonMissingPieces, Peers: 2}},
		"moving":              {down(engine.Stats{Connected: 3, DownRate: 5, ChokedBy: 2}), Reason{}},
		"a seed":              {down(engine.Stats{Connected: 3, Seeds: 1}), Reason{}},
		"error":               {Snapshot{State: lifecycle.Downloading, Paused: errors.New("no space")}, Reason{Kind: ReasonError}},
		"seeding alone":       {Snapshot{State: lifecycle.Seeding}, Reason{}},
	} {
		if got := reason(&c.s, func() Lookup { return lookup }); got != c.want {
			t.Errorf("%s: %+v, want %+v", name, got, c.want)
		}
	}
}

func TestEveryReasonHasAName(t *testing.T) {
	seen := map[string]bool{}
	for k := ReasonKind(1); k < reasonKinds; k++ {
		seen[k.String()] = true
	}
	for k := LookupKind(1); k < lookupKinds; k++ {
		seen["lookup "+k.String()] = true
	}
	if len(seen) != int(reasonKinds-1)+int(lookupKinds-1) || seen[""] || seen["lookup "] {
		t.Errorf("names: %v", seen)
	}
}
