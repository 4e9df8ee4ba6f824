package portmap

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/huin/goupnp"
)

// A device on the local network must not make us send requests to other hosts. The fake system
// notes each connection to a host that is no router, and mapped fails then.
func TestHostileDevicesMakeUsAskNobodyElse(t *testing.T) {
	control := func(at string) string {
		return strings.Replace(fmt.Sprintf(fakeDescription, 1), "/control", at, 1)
	}
	for name, configure := range map[string]func(*fakeRouter){
		"location on the internet":       func(r *fakeRouter) { r.location = "http://198.51.100.1:5000/description.xml" },
		"location on another local host": func(r *fakeRouter) { r.location = "http://192.168.1.9:5000/description.xml" },
		"location with a name":           func(r *fakeRouter) { r.location = "http://victim.example/" },
		"location on loopback":           func(r *fakeRouter) { r.location = "http://127.0.0.1:5000/" },
		"location over HTTPS":            func(r *fakeRouter) { r.location = "https://192.168.1.1:5000/" },
		"location with a password":       func(r *fakeRouter) { r.location = "http://a:b@192.168.1.1:5000/" },
		"location that is long":          func(r *fakeRouter) { r.location = "http://192.168.1.1:5000/" + strings.Repeat("x", maxLocation) },
		"control on the internet":        func(r *fakeRouter) { r.description = control("http://198.51.100.1:5000/") },
		"control with a name":            func(r *fakeRouter) { r.description = control("http://victim.example/") },
		"control on another local host":  func(r *fakeRouter) { r.description = control("//192.168.1.9:5000/") },
		"base on another host": func(r *fakeRouter) {
			r.description = strings.Replace(control("/x"), "<device>", "<URLBase>http://192.168.1.9:5000/</URLBase><device>", 1)
		},
		"redirect to the internet":        func(r *fakeRouter) { r.redirect = "http://198.51.100.1:5000/" },
		"redirect to another local host":  func(r *fakeRouter) { r.redirect = "http://192.168.1.9:5000/" },
		"redirect to itself":              func(r *fakeRouter) { r.redirect = "http://192.168.1.1:5000/description.xml" },
		"description without an end":      func(r *fakeRouter) { r.description = "<root>" + strings.Repeat("<device>", 1<<20) },
		"description that is deep":        func(r *fakeRouter) { r.description = "<root>" + strings.Repeat("<device><deviceList>", maxBody/40) },
		"description that is no XML":      func(r *fakeRouter) { r.description = "\x1b[2J\xff\x00" },
		"description without services":    func(r *fakeRouter) { r.description = "<root><device></device></root>" },
		"no external address":             func(r *fakeRouter) { r.external = netip.IPv4Unspecified() },
		"external address that is forged": func(r *fakeRouter) { r.external = netip.MustParseAddr("2001:db8::1") },
	} {
		t.Run(name, func(t *testing.T) {
			mapped(t, func(r *fakeRouter, c *Config) { r.igd, c.Methods = 1, []Method{UPnP}; configure(r) }, func(t *testing.T, r *fakeRouter, m *Mapper) {
				s := m.Status()
				if len(s.Targets) != 1 || s.Targets[0].Err == nil || len(s.Targets[0].Err.Error()) > 2*maxError || strings.ContainsAny(s.Targets[0].Err.Error(), "\x1b\x00") {
					t.Errorf("%+v", s)
				}
			})
		})
	}
}

// What a router grants cannot make us ask without pause, or never again, or show nonsense.
func TestHostileGrants(t *testing.T) {
	for _, c := range []struct {
		lease    time.Duration
		min, max int // renewals in a day
	}{
		{time.Second, 24*60*4 - 1, 24 * 60 * 4},
		{(1<<32 - 1) * time.Second, 24 * 60 * 8 / 9, 24 * 60},
	} {
		mapped(t, func(r *fakeRouter, cfg *Config) { r.hasPCP, r.maxLease = true, c.lease }, func(t *testing.T, r *fakeRouter, m *Mapper) {
			before := r.count("MAP")
			time.Sleep(24 * time.Hour)
			if n := (r.count("MAP") - before) / 2; n < c.min || n > c.max {
				t.Errorf("%d renewals in a day of leases of %v", n, c.lease)
			}
		})
	}
	mapped(t, func(r *fakeRouter, _ *Config) { r.hasPCP, r.external = true, netip.MustParseAddr("127.0.0.1") }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		if s := m.Status(); external(s, false).String() != "0.0.0.0:6881" {
			t.Errorf("%+v", s)
		}
	})
	mapped(t, func(r *fakeRouter, c *Config) { r.hasPCP, r.maxLease, c.Methods = true, 0, []Method{PCP} }, func(t *testing.T, r *fakeRouter, m *Mapper) {
		if s := m.Status(); external(s, false).IsValid() {
			t.Errorf("a mapping for no time: %+v", s)
		}
	})
}

// A device that answers slowly does not keep us from asking another.
// The external address that PCP grants is announced for the family of our own address.
func TestHostileGrantOfAnAddressOfTheOtherFamily(t *testing.T) {
	mapped(t, func(r *fakeRouter, cfg *Config) {
		r.hasPCP, r.external, cfg.Methods = true, netip.MustParseAddr("2a00:1450::66"), []Method{PCP}
	}, func(t *testing.T, _ *fakeRouter, m *Mapper) {
		if s := m.Status(); external(s, false).IsValid() || len(s.Targets) != 1 || s.Targets[0].Err == nil {
			t.Errorf("%+v", s)
		}
	})
}

// Anyone on the local network can answer the search first and often.
func TestOtherDevicesDoNotKeepOutTheDefaultGateway(t *testing.T) {
	w := &worker{target: target{local: home.Addr(), gateway: gatewayIP, search: home}}
	var found []*url.URL
	answer := func(host string, path int) bool {
		u := &url.URL{Scheme: "http", Host: host + ":5000", Path: fmt.Sprint("/", path)}
		if !w.mayAdd(found, u) {
			return false
		}
		found = append(found, u)
		return true
	}
	for host := range 20 {
		for path := range 20 {
			answer(fmt.Sprint("192.168.1.", 100+host), path)
		}
	}
	if len(found) != maxDevices-maxOfDevice || w.isGateway(found[0]) {
		t.Errorf("%d answers of other devices are used", len(found))
	}
	if !answer(gatewayIP.String(), 1) || answer(gatewayIP.String(), 1) || !answer(gatewayIP.String(), 2) || answer(gatewayIP.String(), 3) {
		t.Errorf("of the answers of the gateway, %d are used", len(found)-maxDevices+maxOfDevice)
	}
}

func TestASlowDeviceHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		slow, good := newRouter(), newRouter()
		slow.igd, slow.isSlow, good.igd = 1, true, 1
		m := Start(Config{Listen: everyAddr, system: &fakeSystem{nics: []link{homeLink},
			routers: map[netip.Addr]*fakeRouter{gatewayIP: good, netip.MustParseAddr("192.168.1.66"): slow}}})
		time.Sleep(10 * time.Second)
		wantMaps(t, good, both...)
		m.Close()
	})
}

// Anyone on the local network can answer the search. What the default gateway maps comes first, and so
// is announced, whoever answers first.
func TestTheDefaultGatewayComesBeforeOtherDevices(t *testing.T) {
	const first = "192.168.1.66"
	synctest.Test(t, func(t *testing.T) {
		other, good := newRouter(), newRouter()
		other.igd, good.igd = 1, 1
		other.external = netip.MustParseAddr("45.0.0.66")
		sys := &fakeSystem{nics: []link{homeLink}, routers: map[netip.Addr]*fakeRouter{gatewayIP: good, netip.MustParseAddr(first): other}}
		w := newWorker(t.Context(), Start(Config{Methods: []Method{}, system: sys}), target{local: home.Addr(), gateway: gatewayIP, search: home})
		defer w.m.Close()
		s := &search{w: w, done: make(chan struct{})}
		for _, at := range []string{first, gatewayIP.String()} {
			s.locations = append(s.locations, &url.URL{Scheme: "http", Host: at + ":5000", Path: "/description.xml"})
		}
		close(s.done)
		list, err := s.clients(t.Context())
		if err != nil || len(list) != 2 || list[0].router() != gatewayIP {
			t.Errorf("%v, %v", list, err)
		}
	})
}

func FuzzSearchAnswer(f *testing.F) {
	f.Add([]byte("HTTP/1.1 200 OK\r\nLOCATION: http://192.168.1.1:5000/x.xml\r\n\r\n"))
	f.Add([]byte("HTTP/1.1 200 OK\r\nlocation: http://192.168.1.1/\r\nContent-Length: 7\r\n\r\n"))
	f.Add([]byte("NOTIFY * HTTP/1.1\r\nLOCATION: http://[::1]/\r\n\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		u, err := parseAnswer(b, gatewayIP, func(ip netip.Addr) bool { return ip == gatewayIP })
		if err == nil && addrOfURL(u).Addr() != gatewayIP {
			t.Errorf("%q names %v", b, u)
		}
	})
}

func FuzzDescription(f *testing.F) {
	f.Add(fmt.Sprintf(fakeDescription, 1))
	f.Add("<root xmlns='urn:schemas-upnp-org:device-1-0'><URLBase>http://192.168.1.1:80/</URLBase><device><serviceList><service><controlURL>x</controlURL></service></serviceList></device></root>")
	f.Add("<?xml version='1.0' encoding='iso-8859-1'?><root/>")
	at, _ := url.Parse("http://192.168.1.1:5000/description.xml")
	transport := &localTransport{device: gatewayIP}
	f.Fuzz(func(t *testing.T, text string) {
		root, err := parseDescription(strings.NewReader(text), at)
		if err != nil {
			return
		}
		root.Device.VisitServices(func(s *goupnp.Service) {
			u := s.ControlURL.URL
			if addrOfURL(&u).Addr() == gatewayIP {
				return
			}
			if _, err := transport.RoundTrip(&http.Request{URL: &u}); err != errElsewhere {
				t.Errorf("%q: a request to %v: %v", text, &u, err)
			}
		})
	})
}
