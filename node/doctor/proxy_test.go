package doctor

import (
	"testing"

	"seedbed/internal/netx"
	"seedbed/internal/sockstest"
	"seedbed/node/visit"
)

// Nothing listens behind a proxy, which does not make the network private: private addresses that
// others name would be those of the proxy's network.
func TestAProxyIsNoPrivateNetwork(t *testing.T) {
	s := sockstest.Start(t, &sockstest.Server{})
	v, err := visit.Open(visit.Config{State: t.TempDir(), Bootstrap: []string{}, Outbound: netx.Outbound{Proxy: s.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer v.Close()
	if e := (&examination{v: v}); e.isPrivate() {
		t.Error("it counts as private")
	}
}
