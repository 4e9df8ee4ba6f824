package guard

import (
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
)

// hostname returns the name in a Host header, without its port.
func hostname(host string) string {
	if name, _, err := net.SplitHostPort(host); err == nil {
		return name
	}
	return strings.Trim(host, "[]")
}

// isOurHost reports whether a Host header names this machine: an IP address, localhost or an allowed
// name. With DNS rebinding, the header has the host name of the attacker's page, never an address.
func (g *Guard) isOurHost(host string) bool {
	name := strings.ToLower(strings.TrimSuffix(hostname(host), "."))
	if _, err := netip.ParseAddr(name); err == nil || name == "localhost" || strings.HasSuffix(name, ".localhost") {
		return true
	}
	for _, h := range g.cfg.Hosts() {
		h = strings.ToLower(strings.TrimSuffix(h, "."))
		if h == name {
			return true
		}
		if below, ok := strings.CutPrefix(h, "*"); ok && strings.HasPrefix(below, ".") && strings.HasSuffix(name, below) {
			return true
		}
	}
	return false
}

// isCrossSite reports whether a page of another site made the request. Browsers say so in
// Sec-Fetch-Site, older ones by an Origin that is not the host. Other programs send neither.
func isCrossSite(r *http.Request) bool {
	switch r.Header.Get("Sec-Fetch-Site") {
	case "same-origin":
		return false
	case "none": // typed by the user
		return r.Method != http.MethodGet && r.Method != http.MethodHead
	case "":
	default:
		// A link on another page may lead here: opening it changes nothing.
		return r.Method != http.MethodGet || r.Header.Get("Sec-Fetch-Mode") != "navigate"
	}
	origin := r.Header.Get("Origin")
	if origin == "" {
		return false
	}
	u, err := url.Parse(origin)
	return err != nil || !strings.EqualFold(u.Host, r.Host)
}
