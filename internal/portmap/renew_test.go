package portmap

import (
	"fmt"
	"net/netip"
	"slices"
	"testing"
	"time"
)

// After a change of the network the mappings are made again at once, also if the router does not
// show that it has lost them.
func TestRenewMapsAtOnce(t *testing.T) {
	for _, configure := range []func(*fakeRouter){
		func(r *fakeRouter) { r.hasPCP = true },
		func(r *fakeRouter) { r.hasNATPMP = true },
		func(r *fakeRouter) { r.igd = 2 },
	} {
		mapped(t, func(r *fakeRouter, _ *Config) { configure(r) }, func(t *testing.T, r *fakeRouter, m *Mapper) {
			time.Sleep(5 * time.Minute)
			r.do(func() { r.maps = map[string]fakeMapping{} })
			m.Renew()
			time.Sleep(time.Second)
			wantMaps(t, r, both...)

			// The router is out of reach for some seconds longer than we know.
			r.do(func() { r.maps, r.isSilent = map[string]fakeMapping{}, true })
			m.Renew()
			time.Sleep(4 * time.Second)
			r.do(func() { r.isSilent = false })
			time.Sleep(10 * time.Second)
			wantMaps(t, r, both...)
		})
	}
}

// A mapper without a router looks for one at once after a change of the network, and follows to
// another network.
func TestRenewLooksForRouters(t *testing.T) {
	mapped(t, func(r *fakeRouter, _ *Config) { r.hasPCP, r.isSilent = true, true }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		time.Sleep(time.Hour)
		r.do(func() { r.isSilent = false })
		m.Renew()
		time.Sleep(2 * time.Second)
		wantMaps(t, r, both...)

		l := homeLink
		l.v4 = []netip.Prefix{netip.MustParsePrefix("192.168.1.9/24")}
		m.cfg.system.(*fakeSystem).setLinks(l)
		m.Renew()
		time.Sleep(2 * time.Second)
		// The router may still have the mappings of the address before, which is gone.
		e := external(m.Status(), false)
		for _, p := range []string{"TCP", "UDP"} {
			if want := fmt.Sprintf("%s %d -> 192.168.1.9:6881", p, e.Port()); !slices.Contains(r.list(), want) {
				t.Errorf("the router maps %q, without %s", r.list(), want)
			}
		}
	})
}

// A router that restarts for minutes is mapped soon after it is back.
func TestARestartingRouterIsAskedOften(t *testing.T) {
	mapped(t, func(r *fakeRouter, _ *Config) { r.hasPCP = true }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		r.do(func() { r.isSilent = true })
		time.Sleep(8 * time.Minute)
		r.restart()
		r.do(func() { r.isSilent = false })
		time.Sleep(restartRetry + 5*time.Second)
		wantMaps(t, r, both...)
	})
}
