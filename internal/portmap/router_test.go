package portmap

import (
	"context"
	"encoding/binary"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"seedbed/internal/portmap/pcp"
)

// fakeRouter is a router in memory. The zero value offers nothing and says so.
type fakeRouter struct {
	mu sync.Mutex

	hasPCP, hasNATPMP bool
	losesUDP          bool // does not answer mapping requests for UDP
	isSilent          bool // drops datagrams to port 5351 instead of refusing them
	refuses           byte // result code of PCP and NAT-PMP for mappings
	vpn               bool // NAT-PMP maps vpnPort and nothing else, and takes only internal port 0
	external          netip.Addr
	maxLease          time.Duration
	begun             time.Time // of the epoch

	igd           int // version of the UPnP device; 0 for none
	httpPort      uint16
	location      string // if not empty, what the search answers in place of its own
	onlyPermanent bool   // error 725
	noEntries     bool   // does not answer GetSpecificPortMappingEntry
	description   string // if not empty, in place of the usual one
	isSlow        bool   // HTTP requests get no answer
	redirect      string // where HTTP requests are redirected to

	maps     map[string]fakeMapping // "TCP 6881"
	pinholes map[int]fakeMapping
	lastID   int

	counts map[string]int // requests by name
}

type fakeMapping struct {
	client  string
	port    uint16
	lease   time.Duration
	expires time.Time
	name    string
	nonce   pcp.Nonce
}

const vpnPort = 43210

func newRouter() *fakeRouter {
	return &fakeRouter{external: netip.MustParseAddr("45.0.0.1"), httpPort: 5000, maxLease: 2 * time.Hour, begun: time.Now().Add(-time.Hour),
		maps: map[string]fakeMapping{}, pinholes: map[int]fakeMapping{}, counts: map[string]int{}}
}

func (r *fakeRouter) do(f func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	f()
}

// silent reports whether the router answers nothing.
func (r *fakeRouter) silent() (is bool) {
	r.do(func() { is = r.isSilent })
	return is
}

// restart loses all mappings.
func (r *fakeRouter) restart() {
	r.do(func() { r.maps, r.pinholes, r.begun = map[string]fakeMapping{}, map[int]fakeMapping{}, time.Now() })
}

// list returns the mappings that have not expired, such as "TCP 6881 -> 192.168.1.2:6881".
func (r *fakeRouter) list() (list []string) {
	r.do(func() {
		for k, m := range r.maps {
			if m.expires.IsZero() || m.expires.After(time.Now()) {
				list = append(list, fmt.Sprintf("%s -> %s:%d", k, m.client, m.port))
			}
		}
		for _, m := range r.pinholes {
			list = append(list, fmt.Sprintf("%s -> [%s]:%d", m.name, m.client, m.port))
		}
	})
	slices.Sort(list)
	return list
}

func (r *fakeRouter) count(name string) (n int) {
	r.do(func() { n = r.counts[name] })
	return n
}

func (r *fakeRouter) epoch() uint32 { return uint32(time.Since(r.begun) / time.Second) }

// assign returns the external port for a request, next to the wanted one if that is taken.
func (r *fakeRouter) assign(protocol string, wanted uint16, client string, internal uint16) uint16 {
	for ; ; wanted++ {
		m, taken := r.maps[fmt.Sprint(protocol, " ", wanted)]
		if !taken || m.client == client && m.port == internal {
			return wanted
		}
	}
}

// datagram returns the response of port 5351.
func (r *fakeRouter) datagram(b []byte, from string) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	be := binary.BigEndian
	if r.losesUDP && (b[0] == 0 && b[1] == 1 || b[0] == 2 && b[1] == 1 && b[36] == byte(pcp.UDP)) {
		return nil
	}
	switch {
	case b[0] == 2 && !r.hasPCP: // RFC 6886, 3.5
		return be.AppendUint32([]byte{0, 0x80 | b[1], 0, 1}, r.epoch())
	case b[0] == 2 && b[1] == 0:
		r.counts["ANNOUNCE"]++
		return append(be.AppendUint32([]byte{2, 0x80, 0, 0, 0, 0, 0, 0}, r.epoch()), make([]byte, 12)...)
	case b[0] == 2:
		r.counts["MAP"]++
		protocol, internal := pcp.Protocol(b[36]).String(), be.Uint16(b[40:])
		wanted, lifetime := be.Uint16(b[42:]), time.Duration(be.Uint32(b[4:]))*time.Second
		client := netip.AddrFrom16([16]byte(b[8:24])).Unmap().String()
		out := slices.Clone(b)
		out[1], out[3] = 0x81, r.refuses
		copy(out[8:24], append(be.AppendUint32(nil, r.epoch()), make([]byte, 12)...))
		lifetime = r.granted(protocol, client, internal, &wanted, lifetime, pcp.Nonce(b[24:]))
		be.PutUint32(out[4:], uint32(lifetime/time.Second))
		be.PutUint16(out[42:], wanted)
		ext := r.external.As16()
		if strings.Contains(client, ":") {
			ext = netip.MustParseAddr(client).As16()
		}
		copy(out[44:], ext[:])
		return out
	case !r.hasNATPMP:
		return nil
	case b[1] == 0:
		r.counts["address"]++
		ip := r.external.As4()
		return append(be.AppendUint32([]byte{0, 0x80, 0, 0}, r.epoch()), ip[:]...)
	}
	r.counts["map"]++
	protocol := [...]string{"", "UDP", "TCP"}[b[1]]
	internal, wanted := be.Uint16(b[4:]), be.Uint16(b[6:])
	refuses := r.refuses
	if r.vpn {
		if internal != 0 {
			refuses = 2
		}
		wanted = vpnPort
	}
	lifetime := time.Duration(0)
	if refuses == 0 {
		lifetime = r.granted(protocol, from, internal, &wanted, time.Duration(be.Uint32(b[8:]))*time.Second, pcp.Nonce{})
	}
	out := be.AppendUint32([]byte{0, 0x80 | b[1], 0, refuses}, r.epoch())
	out = be.AppendUint16(be.AppendUint16(out, internal), wanted)
	return be.AppendUint32(out, uint32(lifetime/time.Second))
}

// granted makes a mapping or, with lifetime 0, removes it.
func (r *fakeRouter) granted(protocol, client string, internal uint16, external *uint16, lifetime time.Duration, nonce pcp.Nonce) time.Duration {
	if r.refuses != 0 {
		return 0
	}
	if lifetime == 0 {
		for k, m := range r.maps {
			if strings.HasPrefix(k, protocol) && m.client == client && m.port == internal && m.nonce == nonce {
				delete(r.maps, k)
			}
		}
		return 0
	}
	lifetime = min(lifetime, r.maxLease)
	*external = r.assign(protocol, *external, client, internal)
	r.maps[fmt.Sprint(protocol, " ", *external)] = fakeMapping{client: client, port: internal, lease: lifetime, expires: time.Now().Add(lifetime), nonce: nonce}
	return lifetime
}

const fakeDescription = `<?xml version="1.0"?>
<root xmlns="urn:schemas-upnp-org:device-1-0"><device><deviceType>urn:schemas-upnp-org:device:InternetGatewayDevice:%[1]d</deviceType>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANDevice:%[1]d</deviceType>
<deviceList><device><deviceType>urn:schemas-upnp-org:device:WANConnectionDevice:%[1]d</deviceType><serviceList>
<service><serviceType>urn:schemas-upnp-org:service:WANIPConnection:%[1]d</serviceType><controlURL>/control</controlURL></service>
<service><serviceType>urn:schemas-upnp-org:service:WANIPv6FirewallControl:1</serviceType><controlURL>/control</controlURL></service>
</serviceList></device></deviceList></device></deviceList></device></root>`

var argument = regexp.MustCompile(`<(New\w+|RemoteHost|RemotePort|InternalClient|InternalPort|Protocol|LeaseTime|UniqueID|NewLeaseTime)>([^<]*)</`)

// ServeHTTP is the UPnP device.
func (r *fakeRouter) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.isSlow {
		r.mu.Unlock()
		io.Copy(io.Discard, q.Body) // the server notices the end of a connection only then
		<-q.Context().Done()
		r.mu.Lock()
		return
	}
	if r.redirect != "" {
		http.Redirect(w, q, r.redirect, http.StatusTemporaryRedirect)
		return
	}
	if q.Method == http.MethodGet {
		r.counts["description"]++
		if r.description != "" {
			io.WriteString(w, r.description)
			return
		}
		fmt.Fprintf(w, fakeDescription, r.igd)
		return
	}
	body, _ := io.ReadAll(q.Body)
	_, action, _ := strings.Cut(strings.Trim(q.Header.Get("SOAPACTION"), `"`), "#")
	a := map[string]string{}
	for _, m := range argument.FindAllStringSubmatch(string(body), -1) {
		a[m[1]] = m[2]
	}
	r.counts[action]++
	out, code := r.act(action, a)
	if code != 0 {
		w.WriteHeader(http.StatusInternalServerError)
		fmt.Fprintf(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><s:Fault><faultcode>s:Client</faultcode><faultstring>UPnPError</faultstring>`+
			`<detail><UPnPError><errorCode>%d</errorCode><errorDescription>no</errorDescription></UPnPError></detail></s:Fault></s:Body></s:Envelope>`, code)
		return
	}
	fmt.Fprintf(w, `<s:Envelope xmlns:s="http://schemas.xmlsoap.org/soap/envelope/"><s:Body><u:%sResponse xmlns:u="x">`, action)
	for i := 0; i < len(out); i += 2 {
		fmt.Fprintf(w, "<%s>", out[i])
		xml.EscapeText(w, []byte(out[i+1]))
		fmt.Fprintf(w, "</%s>", out[i])
	}
	fmt.Fprintf(w, `</u:%sResponse></s:Body></s:Envelope>`, action)
}

// act performs an action of the UPnP device. It returns names and values, or an error code.
func (r *fakeRouter) act(action string, a map[string]string) (out []string, code int) {
	key := a["NewProtocol"] + " " + a["NewExternalPort"]
	number := func(name string) uint16 {
		n, _ := strconv.Atoi(a[name])
		return uint16(n)
	}
	seconds := func(name string) time.Duration { return time.Duration(number(name)) * time.Second }
	switch action {
	case "GetExternalIPAddress":
		return []string{"NewExternalIPAddress", r.external.String()}, 0
	case "GetSpecificPortMappingEntry":
		m, ok := r.maps[key]
		switch {
		case r.noEntries:
			return nil, 401
		case !ok:
			return nil, 714
		}
		return []string{"NewInternalPort", fmt.Sprint(m.port), "NewInternalClient", m.client, "NewEnabled", "1", "NewPortMappingDescription", m.name, "NewLeaseDuration", "0"}, 0
	case "AddPortMapping":
		m, ok := r.maps[key]
		switch {
		case ok && m.client != a["NewInternalClient"]:
			return nil, 718
		case r.onlyPermanent && a["NewLeaseDuration"] != "0":
			return nil, 725
		case a["NewPortMappingDescription"] == "":
			return nil, 402
		}
		m = fakeMapping{client: a["NewInternalClient"], port: number("NewInternalPort"), name: a["NewPortMappingDescription"], lease: seconds("NewLeaseDuration")}
		if m.lease > 0 {
			m.expires = time.Now().Add(m.lease)
		}
		r.maps[key] = m
		return nil, 0
	case "DeletePortMapping":
		if _, ok := r.maps[key]; !ok {
			return nil, 714
		}
		delete(r.maps, key)
		return nil, 0
	case "AddPinhole":
		r.lastID++
		r.pinholes[r.lastID] = fakeMapping{client: a["InternalClient"], port: number("InternalPort"), name: "protocol " + a["Protocol"], lease: seconds("LeaseTime")}
		return []string{"UniqueID", fmt.Sprint(r.lastID)}, 0
	case "UpdatePinhole", "DeletePinhole":
		if _, ok := r.pinholes[int(number("UniqueID"))]; !ok {
			return nil, 704
		}
		if action == "DeletePinhole" {
			delete(r.pinholes, int(number("UniqueID")))
		}
		return nil, 0
	}
	return nil, 401
}

// fakeSystem is a machine with links to fake routers.
type fakeSystem struct {
	mu      sync.Mutex
	nics    []link
	routers map[netip.Addr]*fakeRouter
	strays  []string // connections to anything but a router
	hosts   []*fakeHost
}

func (f *fakeSystem) setLinks(ls ...link) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.nics = ls
}

func (f *fakeSystem) links() ([]link, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.nics), nil
}

func (f *fakeSystem) source(netip.Addr) netip.Addr { return netip.MustParseAddr("10.2.0.2") }

func (f *fakeSystem) router(ip netip.Addr) *fakeRouter {
	f.mu.Lock()
	defer f.mu.Unlock()
	r := f.routers[ip]
	if r == nil {
		f.strays = append(f.strays, ip.String())
	}
	return r
}

func (f *fakeSystem) dialUDP(local, to netip.AddrPort) (net.Conn, error) {
	r := f.router(to.Addr())
	if r == nil {
		return nil, syscall.ENETUNREACH
	}
	ours, theirs := net.Pipe()
	go func() {
		defer theirs.Close()
		b := make([]byte, 2000)
		for {
			n, err := theirs.Read(b)
			if err != nil {
				return
			}
			if out := r.datagram(b[:n], local.Addr().String()); out != nil && !r.silent() {
				theirs.SetWriteDeadline(time.Now().Add(time.Second))
				theirs.Write(out)
			}
		}
	}()
	isClosed := !r.silent()
	r.do(func() { isClosed = isClosed && !r.hasPCP && !r.hasNATPMP })
	return &fakeUDP{Conn: ours, isClosed: isClosed}, nil
}

type fakeUDP struct {
	net.Conn
	isClosed bool // nothing listens: ICMP port unreachable
}

func (c *fakeUDP) Read(b []byte) (int, error) {
	if c.isClosed {
		return 0, syscall.ECONNREFUSED
	}
	return c.Conn.Read(b)
}

// oneListener accepts one connection.
type oneListener struct{ c chan net.Conn }

func (l oneListener) Accept() (net.Conn, error) {
	if c, ok := <-l.c; ok {
		return c, nil
	}
	return nil, net.ErrClosed
}
func (l oneListener) Close() error   { return nil }
func (l oneListener) Addr() net.Addr { return &net.TCPAddr{} }

func (f *fakeSystem) dialTCP(_ context.Context, _ netip.Addr, to netip.AddrPort) (net.Conn, error) {
	r := f.router(to.Addr())
	isOpen := false
	if r != nil {
		r.do(func() { isOpen = r.igd > 0 && to.Port() == r.httpPort })
	}
	if !isOpen {
		return nil, syscall.ECONNREFUSED
	}
	ours, theirs := net.Pipe()
	l := oneListener{make(chan net.Conn, 1)}
	l.c <- theirs
	close(l.c)
	go (&http.Server{Handler: r}).Serve(l)
	return ours, nil
}

// fakeHost is the socket at which announcements arrive.
type fakeHost struct {
	net.PacketConn
	arrived chan fakeAnswer
	closed  chan struct{}
}

func (f *fakeSystem) listenAnnouncements(string, bool) (net.PacketConn, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	h := &fakeHost{arrived: make(chan fakeAnswer, 1000), closed: make(chan struct{})}
	f.hosts = append(f.hosts, h)
	return h, nil
}

// announce sends a datagram to all hosts.
func (f *fakeSystem) announce(b []byte, from netip.Addr) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, h := range f.hosts {
		select {
		case h.arrived <- fakeAnswer{b, from}:
		case <-h.closed:
		}
	}
}

func (h *fakeHost) ReadFrom(b []byte) (int, net.Addr, error) {
	select {
	case a := <-h.arrived:
		return copy(b, a.b), net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.from, pcp.Port)), nil
	case <-h.closed:
		return 0, nil, net.ErrClosed
	}
}

func (h *fakeHost) Close() error {
	close(h.closed)
	return nil
}

// fakeSearch is the socket of a search. Every router with UPnP answers each datagram.
type fakeSearch struct {
	f        *fakeSystem
	answers  chan fakeAnswer
	mu       sync.Mutex
	deadline time.Time
	closed   chan struct{}
}

type fakeAnswer struct {
	b    []byte
	from netip.Addr
}

func (f *fakeSystem) listenSearch(netip.Addr) (net.PacketConn, error) {
	return &fakeSearch{f: f, answers: make(chan fakeAnswer, 1000), closed: make(chan struct{})}, nil
}

func (s *fakeSearch) WriteTo(b []byte, to net.Addr) (int, error) {
	s.f.mu.Lock()
	defer s.f.mu.Unlock()
	for ip, r := range s.f.routers {
		r.do(func() {
			r.counts["search"]++
			if r.igd == 0 {
				return
			}
			at := r.location
			if at == "" {
				at = fmt.Sprintf("http://%v:%d/description.xml", ip, r.httpPort)
			}
			select {
			case s.answers <- fakeAnswer{fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nST: x\r\nEXT:\r\nLOCATION: %s\r\n\r\n", at), ip}:
			default:
			}
		})
	}
	return len(b), nil
}

func (s *fakeSearch) ReadFrom(b []byte) (int, net.Addr, error) {
	s.mu.Lock()
	wait := time.Until(s.deadline)
	s.mu.Unlock()
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case a := <-s.answers:
		return copy(b, a.b), net.UDPAddrFromAddrPort(netip.AddrPortFrom(a.from, ssdpPort)), nil
	case <-t.C:
		return 0, nil, os.ErrDeadlineExceeded
	case <-s.closed:
		return 0, nil, net.ErrClosed
	}
}

func (s *fakeSearch) SetReadDeadline(t time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.deadline = t
	return nil
}

func (s *fakeSearch) Close() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	select {
	case <-s.closed:
		return errors.New("closed twice")
	default:
		close(s.closed)
	}
	return nil
}

func (s *fakeSearch) LocalAddr() net.Addr              { return &net.UDPAddr{} }
func (s *fakeSearch) SetDeadline(t time.Time) error    { return s.SetReadDeadline(t) }
func (s *fakeSearch) SetWriteDeadline(time.Time) error { return nil }
