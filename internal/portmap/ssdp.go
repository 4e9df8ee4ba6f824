package portmap

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"seedbed/internal/addrs"
)

const (
	ssdpPort = 1900
	// maxDevices limits the descriptions that are read. More than a handful of gateways on one
	// network is an attack or a mistake. maxOfDevice limits those of one device; as many are left for
	// the default gateway.
	maxDevices  = 8
	maxOfDevice = 2
	// maxAnswers limits the datagrams that are read in one search.
	maxAnswers = 256
	// searchTime is how long devices have to answer, and searchMore how much longer we wait after the
	// default gateway has answered: others may be slower.
	searchTime = 2 * time.Second
	searchMore = 600 * time.Millisecond
	// maxLocation is the maximum length of the URL of a description.
	maxLocation = 512
)

var ssdpGroup = netip.AddrPortFrom(netip.AddrFrom4([4]byte{239, 255, 255, 250}), ssdpPort)

// searchTargets are what gateways answer to. Devices must answer to a search for an earlier
// version of their type (UDA 1.1, 1.3.3), and some do not.
var searchTargets = []string{
	"urn:schemas-upnp-org:device:InternetGatewayDevice:1",
	"urn:schemas-upnp-org:device:InternetGatewayDevice:2",
	"urn:schemas-upnp-org:service:WANIPConnection:1",
	"urn:schemas-upnp-org:service:WANPPPConnection:1",
}

// sendTimes are when a search is sent after the start. UDP loses datagrams.
var sendTimes = [...]time.Duration{0, 400 * time.Millisecond, 900 * time.Millisecond}

// search is a search for UPnP gateways.
type search struct {
	w         *worker
	done      chan struct{}
	locations []*url.URL // of descriptions; set before done is closed
	err       error
}

func (w *worker) startSearch(ctx context.Context) *search {
	s := &search{w: w, done: make(chan struct{})}
	go func() {
		defer close(s.done)
		s.locations, s.err = w.discover(ctx)
	}()
	return s
}

// discover returns the URLs of the descriptions of the gateways that answer.
func (w *worker) discover(ctx context.Context) (found []*url.URL, err error) {
	local := w.search.Addr()
	if !w.search.IsValid() {
		local = w.local
	}
	conn, err := w.m.cfg.system.listenSearch(local)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	begun := time.Now()
	end := begun.Add(searchTime)
	sent := 0
	buf := make([]byte, 2048)
	for range maxAnswers {
		for sent < len(sendTimes) && time.Since(begun) >= sendTimes[sent] {
			if err := w.sendSearch(conn); err != nil && sent == 0 {
				return nil, err
			}
			sent++
		}
		until := end
		if sent < len(sendTimes) && begun.Add(sendTimes[sent]).Before(end) {
			until = begun.Add(sendTimes[sent])
		}
		if err := conn.SetReadDeadline(until); err != nil {
			break
		}
		n, from, err := conn.ReadFrom(buf)
		switch {
		case isTimeout(err):
			if until == end {
				return found, nil
			}
			continue
		case errors.Is(err, net.ErrClosed):
			return found, ctx.Err()
		case err != nil:
			continue // an ICMP error of a unicast search
		}
		source, ok := from.(*net.UDPAddr)
		if !ok {
			continue
		}
		at, err := parseAnswer(buf[:n], source.AddrPort().Addr().Unmap(), w.mayAsk)
		if err != nil || !w.mayAdd(found, at) {
			continue
		}
		found = append(found, at)
		if soon := time.Now().Add(searchMore); w.isGateway(at) && soon.Before(end) {
			end = soon
		}
		if len(found) == maxDevices {
			break
		}
	}
	return found, nil
}

// sendSearch sends the search to all devices, and to the gateway itself, which hears it even where
// multicast does not work (UDA 1.1, 1.3.2).
func (w *worker) sendSearch(conn net.PacketConn) (err error) {
	var to []netip.AddrPort
	if w.search.IsValid() {
		to = append(to, ssdpGroup)
	}
	if w.gateway.Is4() {
		to = append(to, netip.AddrPortFrom(w.gateway, ssdpPort))
	}
	for _, a := range to {
		for _, target := range searchTargets {
			_, e := conn.WriteTo(fmt.Appendf(nil, "M-SEARCH * HTTP/1.1\r\nHOST: %v\r\nST: %s\r\nMAN: \"ssdp:discover\"\r\nMX: 1\r\n\r\n", ssdpGroup, target), net.UDPAddrFromAddrPort(a))
			if err == nil || e == nil {
				err = e
			}
		}
	}
	return err
}

// mayAsk reports whether a UPnP device at ip may be asked: it is on the local network.
func (w *worker) mayAsk(ip netip.Addr) bool {
	return ip.Is4() && addrs.IsLocal(ip) && (w.search.IsValid() && w.search.Contains(ip) || ip == w.gateway)
}

// isGateway reports whether a description is at the default gateway, or the IPv4 address of that is
// not known.
func (w *worker) isGateway(at *url.URL) bool {
	return !w.gateway.Is4() || addrOfURL(at).Addr() == w.gateway
}

// mayAdd reports whether a description is read in addition to those that were found. Anyone on the
// local network can answer first and often, and must not keep out the default gateway.
func (w *worker) mayAdd(found []*url.URL, at *url.URL) bool {
	same, others := 0, 0
	for _, u := range found {
		switch {
		case u.String() == at.String():
			return false
		case addrOfURL(u).Addr() == addrOfURL(at).Addr():
			same++
		}
		if !w.isGateway(u) {
			others++
		}
	}
	return same < maxOfDevice && (w.isGateway(at) || others < maxDevices-maxOfDevice)
}

var errAnswer = errors.New("not an answer of a gateway on the local network")

// parseAnswer returns the URL of the description that an answer to a search names. The URL must be
// at the address that has answered: a device that names another one would make us send requests there.
func parseAnswer(b []byte, from netip.Addr, mayAsk func(netip.Addr) bool) (*url.URL, error) {
	r, err := http.ReadResponse(bufio.NewReader(bytes.NewReader(b)), nil)
	if err != nil {
		return nil, err
	}
	r.Body.Close()
	text := r.Header.Get("Location")
	if r.StatusCode != http.StatusOK || text == "" || len(text) > maxLocation {
		return nil, errAnswer
	}
	u, err := url.Parse(text)
	if err != nil {
		return nil, err
	}
	if at := addrOfURL(u); u.User != nil || !at.IsValid() || at.Addr() != from || !mayAsk(from) {
		return nil, errAnswer
	}
	return u, nil
}

// addrOfURL returns the address of an http URL with a numeric host, or the zero AddrPort.
func addrOfURL(u *url.URL) netip.AddrPort {
	if u.Scheme != "http" {
		return netip.AddrPort{}
	}
	ip, err := netip.ParseAddr(u.Hostname())
	if err != nil {
		return netip.AddrPort{}
	}
	port := uint64(80)
	if text := u.Port(); text != "" {
		if port, err = strconv.ParseUint(text, 10, 16); err != nil || port == 0 {
			return netip.AddrPort{}
		}
	}
	return netip.AddrPortFrom(ip, uint16(port))
}
