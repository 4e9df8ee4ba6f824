package netx

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"net/netip"
	"strings"

	lru "github.com/hashicorp/golang-lru/v2"
)

// Peers are known by their addresses everywhere. Behind a proxy, the address of a peer that is given by name is
// not known, because only the proxy resolves names. So the name gets an address that stands for it.

// namedNet is the dummy prefix (RFC 9780), from which no host has an address. Peer exchange and the DHT neither
// send nor accept its addresses.
var namedNet = netip.MustParsePrefix("100:0:0:1::/64")

// IsNamed reports whether an address stands for a name. Only the ProxyHost that returned it can connect to it.
func IsNamed(ip netip.Addr) bool { return namedNet.Contains(ip) }

// maxNamed is the maximum number of names that a ProxyHost knows. Above it, the oldest is forgotten.
const maxNamed = 4096

// maxHostName is the length of the longest name that fits a request to a proxy, in bytes.
const maxHostName = 255

// errForgotten is returned for an address whose name is not known any more.
var errForgotten = errors.New("the name of this peer is not known any more")

// names maps addresses to the names that they stand for. It is safe for concurrent use.
type names struct {
	hosts *lru.Cache[netip.Addr, string]
}

func newNames() names {
	c, err := lru.New[netip.Addr, string](maxNamed)
	if err != nil {
		panic(err) // the size is positive
	}
	return names{c}
}

// add returns the address that stands for a host. It is the same for all hosts whose names differ in case only.
func (n names) add(host string) netip.Addr {
	host = strings.ToLower(host)
	sum := sha256.Sum256([]byte(host))
	b := namedNet.Addr().As16()
	copy(b[8:], sum[:8])
	ip := netip.AddrFrom16(b)
	n.hosts.ContainsOrAdd(ip, host)
	return ip
}

// of returns the name of an address. Names are forgotten in the order in which they were added.
func (n names) of(ip netip.Addr) (host string, ok bool) { return n.hosts.Peek(ip) }

// Named returns an address that stands for a host whose name only the proxy can resolve: Dial has the proxy
// connect to the name. Names that are local by form (localhost, printer, nas.local) are refused, because links
// have names too, and they would lead to the local network of the proxy.
func (h *ProxyHost) Named(host string, port uint16) (netip.AddrPort, error) {
	if len(host) > maxHostName {
		return netip.AddrPort{}, fmt.Errorf("the host name has %d bytes; %d are allowed", len(host), maxHostName)
	}
	if isLocalName(host) {
		return netip.AddrPort{}, fmt.Errorf("%s: %w", host, errLocalName)
	}
	return netip.AddrPortFrom(h.names.add(host), port), nil
}
