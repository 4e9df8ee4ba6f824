package daemoncmd

import (
	"path/filepath"
	"testing"

	"seedbed/cmd/seedbed/exit"
	"seedbed/node/fleet"
)

// Each of the flags starts a fleet: the first node may know no other.
func TestAnyFlagStartsAFleet(t *testing.T) {
	key := filepath.Join(t.TempDir(), "key")
	if err := fleet.NewKey(key); err != nil {
		t.Fatal(err)
	}
	for _, f := range []fleetFlags{{key: key}, {name: "one"}, {listen: "127.0.0.1:1"}, {advertise: "192.0.2.1:7946"}, {members: []string{"192.0.2.1:7946"}}} {
		if c, err := f.config(t.TempDir()); c == nil || err != nil || c.Listen == "" || c.Name == "" {
			t.Errorf("%+v: %+v, %v", f, c, err)
		}
	}
	if c, err := new(fleetFlags).config(t.TempDir()); c != nil || err != nil {
		t.Errorf("without flags: %+v, %v", c, err)
	}
	f := fleetFlags{advertise: ":7946"}
	if _, err := f.config(t.TempDir()); exit.CodeOf(err) != exit.Usage {
		t.Errorf("an address without a host: %v", err)
	}
}
