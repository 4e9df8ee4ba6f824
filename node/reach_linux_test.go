package node

import (
	"errors"
	"testing"

	"seedbed/internal/netx"
)

// A node whose interface is missing starts, says so, and waits.
func TestANodeWaitsForItsInterface(t *testing.T) {
	n, err := Open(Config{State: t.TempDir(), Outbound: netx.Outbound{Interface: "nosuch0"}, Bootstrap: []string{"192.0.2.1:6881"}})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context())
	s := n.Subscribe(Warning, Listening)
	defer s.Close()
	all := s.Take()
	if len(all) != 1 || all[0].Kind != Warning {
		t.Fatalf("%+v, want only a warning: the node listens nowhere", all)
	}
	e := all[0]
	var f *Fault
	if !errors.As(e.Err, &f) || f.Kind != FaultNetwork || !errors.Is(e.Err, netx.ErrNoInterface) || f.Hint() == "" {
		t.Fatal(e.Err)
	}
	spec, _ := folder(t, ShareOptions{}, small)
	tor, err := n.Add(Spec{Link: withPeers(spec), Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	if l := tor.Snapshot().Reason.Lookup; l.Kind != LookupNoInterface || l.Kind.IsJoined() {
		t.Errorf("%v", l.Kind)
	}
	if _, err := n.net.Dial(t.Context(), n.Addrs()[0]); !errors.Is(err, netx.ErrNoInterface) && !errors.Is(err, netx.ErrSelf) {
		t.Errorf("%v", err)
	}
}
