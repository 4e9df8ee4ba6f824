package portmap

import (
	"net/netip"
	"testing"
	"time"
)

var (
	pcpAnnouncement    = append([]byte{2, 0x80}, make([]byte, 22)...)
	natPMPAnnouncement = []byte{0, 0x80, 0, 0, 0, 0, 0, 0, 45, 0, 0, 1}
)

// routers are the methods by which a fake router maps.
var routers = map[string]func(*fakeRouter){
	"PCP":     func(r *fakeRouter) { r.hasPCP = true },
	"NAT-PMP": func(r *fakeRouter) { r.hasNATPMP = true },
	"UPnP":    func(r *fakeRouter) { r.igd = 2 },
}

// forget loses the mappings and keeps the epoch, as a server does whose epoch is the clock of the machine.
func (r *fakeRouter) forget() {
	r.do(func() { r.maps = map[string]fakeMapping{} })
}

// A router that has lost the mappings and does not show it is noticed within pollRenew.
func TestAClearedTableIsNoticedWithoutANewEpoch(t *testing.T) {
	for name, configure := range routers {
		t.Run(name, func(t *testing.T) {
			mapped(t, func(r *fakeRouter, _ *Config) { configure(r) }, func(t *testing.T, r *fakeRouter, m *Mapper) {
				for range 3 {
					r.forget()
					time.Sleep(pollRenew*9/8 + 2*time.Second)
					wantMaps(t, r, both...)
				}
			})
		})
	}
}

// RFC 6886, 3.2.1, and RFC 6887, 14.1: a router that starts announces it. The port is mapped then, by
// each method, also if the epoch does not show that the mappings are lost.
func TestAnAnnouncementMapsAgain(t *testing.T) {
	for name, configure := range routers {
		for kind, b := range map[string][]byte{"PCP": pcpAnnouncement, "NAT-PMP": natPMPAnnouncement} {
			t.Run(name+" after "+kind, func(t *testing.T) {
				mapped(t, func(r *fakeRouter, _ *Config) { configure(r) }, func(t *testing.T, r *fakeRouter, m *Mapper) {
					time.Sleep(5 * time.Second)
					r.forget()
					m.cfg.system.(*fakeSystem).announce(b, gatewayIP)
					time.Sleep(maxAnnounceDelay + time.Second)
					wantMaps(t, r, both...)
				})
			})
		}
	}
}

// A UPnP device may listen on another port after a restart, as miniupnpd does.
func TestADeviceThatMovesIsFoundAgain(t *testing.T) {
	mapped(t, func(r *fakeRouter, _ *Config) { r.igd = 2 }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		restart := func(port uint16) {
			r.restart()
			r.do(func() { r.httpPort = port })
		}
		restart(5001)
		m.cfg.system.(*fakeSystem).announce(pcpAnnouncement, gatewayIP)
		time.Sleep(maxAnnounceDelay + 4*time.Second)
		wantMaps(t, r, both...)
		restart(5002)
		time.Sleep(time.Minute + 4*time.Second)
		wantMaps(t, r, both...)
	})
}

// A router that mapped nothing so far is asked when it announces that it has started.
func TestAnAnnouncementOfANewRouterMaps(t *testing.T) {
	mapped(t, func(r *fakeRouter, _ *Config) { r.hasPCP, r.isSilent = true, true }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		time.Sleep(time.Hour)
		r.do(func() { r.isSilent = false })
		m.cfg.system.(*fakeSystem).announce(pcpAnnouncement, gatewayIP)
		time.Sleep(maxAnnounceDelay + 2*time.Second)
		wantMaps(t, r, both...)
	})
}

// Anyone on the local network can send announcements. Those of the router's address make us ask it at
// most every minRenew, others never.
func TestForgedAnnouncementsAreLimited(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		from netip.Addr
		max  int // renewals in 10 minutes
	}{
		"of the router":        {pcpAnnouncement, gatewayIP, 50}, // 40, and those of polls
		"of another host":      {pcpAnnouncement, netip.MustParseAddr("192.168.1.66"), 10},
		"of the internet":      {natPMPAnnouncement, netip.MustParseAddr("45.0.0.1"), 10},
		"that are none":        {pcpAnnouncement[:20], gatewayIP, 10},
		"that are requests":    {make([]byte, 24), gatewayIP, 10},
		"that are of no bytes": {nil, gatewayIP, 10},
	} {
		t.Run(name, func(t *testing.T) {
			mapped(t, func(r *fakeRouter, _ *Config) { r.hasPCP = true }, func(t *testing.T, r *fakeRouter, m *Mapper) {
				before := r.count("MAP")
				for range 600 {
					m.cfg.system.(*fakeSystem).announce(c.b, c.from)
					time.Sleep(time.Second)
				}
				if n := (r.count("MAP") - before) / 2; n > c.max {
					t.Errorf("%d renewals in 10 minutes", n)
				}
				wantMaps(t, r, both...)
			})
		})
	}
}

// A router that has restarted refuses until its own connection is up, and is asked often until then.
func TestARouterThatRefusesAfterARestartIsAskedOften(t *testing.T) {
	mapped(t, func(r *fakeRouter, _ *Config) { r.hasPCP = true }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		time.Sleep(5 * time.Minute)
		r.restart()
		r.do(func() { r.refuses = 7 }) // network failure
		time.Sleep(3 * time.Minute)
		r.do(func() { r.refuses = 0 })
		time.Sleep(restartRetry + 5*time.Second)
		wantMaps(t, r, both...)
	})
}

// A renewal whose second answer is lost leaves the mappings as they are.
func TestALostAnswerToARenewalRemovesNothing(t *testing.T) {
	for _, name := range []string{"PCP", "NAT-PMP"} {
		mapped(t, func(r *fakeRouter, _ *Config) { routers[name](r) }, func(t *testing.T, r *fakeRouter, m *Mapper) {
			r.do(func() { r.losesUDP = true })
			for range 30 {
				time.Sleep(5 * time.Second)
				wantMaps(t, r, both...)
			}
			r.do(func() { r.losesUDP = false })
		})
	}
}
