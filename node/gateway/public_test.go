package gateway

import (
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"

	"seedbed/internal/id"
)

// publicAsk requests a URL of a public gateway from an address.
func publicAsk(h *Handler, url, from string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("GET", url, nil)
	r.RemoteAddr = from
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// A public gateway serves keys below its domain, and names by their own host.
func TestPublicHosts(t *testing.T) {
	s := publication(t, website)
	h := NewHandler(HandlerConfig{Source: s, Domain: "gate.example", Public: true, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	for url, want := range map[string]Address{"http://" + testAddress.Host("gate.example") + "/": testAddress, "http://Blog.Example.org/": {Name: "blog.example.org"},
		"http://blog-example-org.gate.example/": {Name: "blog.example.org"}} {
		s.asked = nil
		if w := publicAsk(h, url, "192.0.2.1:1"); w.Code != 200 || len(s.asked) != 1 || s.asked[0] != want {
			t.Errorf("%s: %d, %v", url, w.Code, s.asked)
		}
	}
	to := testAddress.Host("gate.example") + "/"
	for scheme, headers := range map[string][]string{"https://": {"X-Forwarded-Proto", "https"}, "http://": nil} {
		w := publicAsk(h, "http://gate.example/?q="+testAddress.Key.String(), "10.1.2.3:1", headers...)
		if w.Header().Get("Location") != scheme+to {
			t.Errorf("%v: %q", headers, w.Header().Get("Location"))
		}
	}
	if w := publicAsk(h, "http://gate.example/?q="+testAddress.Key.String(), "192.0.2.1:1", "X-Forwarded-Proto", "https"); w.Header().Get("Location") != "http://"+to {
		t.Errorf("a client that is no proxy: %q", w.Header().Get("Location"))
	}
}

// Each client may send so many requests. The address of a client behind a trusted proxy is the one that
// the proxy has added, not one that the client has made up.
func TestEachClientIsLimited(t *testing.T) {
	s := publication(t, website)
	h := NewHandler(HandlerConfig{Source: s, Domain: "gate.example", Public: true, Proxies: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	url := "http://" + testAddress.Host("gate.example") + "/"
	refused := 0
	for i := range clientBurst + 200 {
		headers := []string{"X-Forwarded-For", strings.Repeat("9", i%3) + "1.1.1.1", "X-Forwarded-For", "198.51.100.7, 10.9.9.9"}
		if w := publicAsk(h, url, "10.1.2.3:1", headers...); w.Code == 429 && w.Header().Get("Retry-After") == "1" {
			refused++
		}
	}
	if refused == 0 {
		t.Error("a client may send as many requests as it wants")
	}
	if w := publicAsk(h, url, "10.1.2.3:1", "X-Forwarded-For", "198.51.100.8"); w.Code != 200 {
		t.Errorf("another client of the proxy: %d", w.Code)
	}
	if w := publicAsk(h, url, "192.0.2.1:1", "X-Forwarded-For", "198.51.100.7"); w.Code != 200 {
		t.Errorf("a client that names the address of another: %d", w.Code)
	}
	if w := publicAsk(h, url, "198.51.100.7:1"); w.Code != 429 {
		t.Errorf("the same client without the proxy: %d", w.Code)
	}
}

// A gateway for its own machine limits no client.
func TestTheMachineItselfIsNotLimited(t *testing.T) {
	s := publication(t, website)
	h := NewHandler(HandlerConfig{Source: s, Domain: LocalDomain})
	for range clientBurst + 200 {
		if w := publicAsk(h, "http://"+testAddress.Host(LocalDomain)+"/", "127.0.0.1:1"); w.Code != 200 {
			t.Fatal(w.Code)
		}
	}
}

// Only a public gateway listens where other machines reach it.
func TestOnlyAPublicGatewayIsReachable(t *testing.T) {
	for addr, ok := range map[string]bool{"127.0.0.1:0": true, "[::1]:80": true, "localhost:80": true, "127.5.5.5:1": true, "0.0.0.0:80": false, ":80": false, "192.168.1.2:80": false, "[::]:80": false, "example.org:80": false, "x": false} {
		if err := checkLoopback(addr); (err == nil) != ok {
			t.Errorf("%s: %v", addr, err)
		}
	}
}

// The list has what is in its lines, and says which line is wrong.
func TestAllowList(t *testing.T) {
	l := AllowList{}
	key := testAddress.Key.String()
	if err := l.AddList(strings.NewReader("# mine\n\n "+key+" \r\nBlog.example.org\n"), "list"); err != nil {
		t.Fatal(err)
	}
	if !l.Allows(testAddress) || !l.Allows(Address{Name: "blog.example.org"}) || l.Allows(Address{Key: id.ID32{5}}) || l.Allows(Address{Key: testAddress.Key, Salt: "x"}) {
		t.Error(l)
	}
	if err := l.AddList(strings.NewReader("a.example\nnonsense\n"), "list"); err == nil || !strings.Contains(err.Error(), "list, line 2") {
		t.Error(err)
	}
	if AllowKeys(Address{Name: "a.example"}) || !AllowKeys(testAddress) {
		t.Error("names need a list")
	}
}

// A file that is larger than what the gateway keeps of a publication is not served.
func TestFilesOverTheQuota(t *testing.T) {
	s := publication(t, website)
	s.version.MaxFile = 100
	if w := ask(t, s, "GET", "/style.css", "Range", "bytes=0-1"); w.Code != 507 || len(s.opened) > 0 {
		t.Errorf("%d, %v", w.Code, s.opened)
	}
	if w := ask(t, s, "GET", "/"); w.Code != 200 {
		t.Error(w.Code)
	}
}
