package netx

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/libp2p/go-reuseport"
)

// DefaultPort is tried first if no port is configured.
const DefaultPort = 6881

// Config configures Open.
type Config struct {
	// Listen is the list of addresses to listen on, as HOST:PORT. An empty host means
	// every address of both families; a family that the machine lacks is then omitted.
	// Port 0 means any free port. All must have the same port. An empty list means
	// DefaultPort on every address, or a free port if that is taken.
	Listen []string
	// DefaultPort replaces the constant DefaultPort unless it is 0.
	DefaultPort uint16
	// Outbound may bind the sockets to a network interface. While the interface is missing,
	// the Host has no sockets; the port is kept for when the interface appears.
	Outbound Outbound
	// Changed, if not nil, is called when the interface of Outbound appears or disappears, with nil
	// or an *Error: one that wraps ErrNoInterface, or one about the port. It is called from one goroutine at a time, and before Open returns if the interface is missing. It must not
	// call SetPort or Close.
	Changed func(error)
	// DSCP marks the packets of all sockets.
	DSCP DSCP
	// Logger receives a warning when connections cannot be accepted; it may be nil.
	Logger *slog.Logger
}

// Error says why an address or an interface cannot be used, in words for the user.
type Error struct {
	Addr   string // the address as far as known, or the interface
	Reason string // what happened
	Hint   string // what to do
	Err    error  // the system's error, if any
}

func (e *Error) Error() string { return fmt.Sprintf("%s %s; %s", e.Addr, e.Reason, e.Hint) }
func (e *Error) Unwrap() error { return e.Err }

// target is an address to listen on.
type target struct {
	ip       netip.Addr
	optional bool // the machine may lack its family
}

func (t target) network(proto string) string {
	if t.ip.Is4() {
		return proto + "4"
	}
	return proto + "6" // with IPV6_V6ONLY: each family has its own socket
}

// sockets are the sockets of one target. Both are nil while the interface is missing.
type sockets struct {
	ip  netip.Addr
	udp *net.UDPConn
	tcp net.Listener
}

func (s *sockets) close() {
	if s.udp != nil {
		s.udp.Close()
	}
	if s.tcp != nil {
		s.tcp.Close()
	}
}

// Open opens the sockets of cfg and begins to accept connections.
func Open(cfg Config) (*Host, error) {
	if err := cfg.Outbound.Check(); err != nil {
		return nil, err
	}
	targets, port, err := resolve(cfg)
	if err != nil {
		return nil, err
	}
	if cfg.Outbound.Interface != "" {
		return openBound(cfg, targets, port)
	}
	patience := lingerTime
	if len(cfg.Listen) == 0 { // another port will do
		patience = lingerTime / 10
	}
	socks, err := bindAll(Outbound{}, targets, port, patience)
	if err != nil && len(cfg.Listen) == 0 && errors.Is(err, errTaken) {
		socks, err = bindAll(Outbound{}, targets, 0, 0)
	}
	if err != nil {
		return nil, err
	}
	return newHost(socks, &cfg), nil
}

// resolve turns cfg into addresses and one port.
func resolve(cfg Config) (ts []target, port uint16, err error) {
	if len(cfg.Listen) == 0 {
		if port = cfg.DefaultPort; port == 0 {
			port = DefaultPort
		}
		return allFamilies(), port, nil
	}
	for i, spec := range cfg.Listen {
		more, p, err := parse(cfg.Outbound, spec)
		if err != nil {
			return nil, 0, err
		}
		if i > 0 && p != port {
			return nil, 0, &Error{Addr: spec, Reason: fmt.Sprintf("has a different port than %s", cfg.Listen[0]), Hint: "use the same port for all addresses"}
		}
		ts, port = append(ts, more...), p
	}
	return ts, port, nil
}

// allFamilies returns the unspecified address of each family that the machine has.
func allFamilies() []target {
	ts := []target{{netip.IPv4Unspecified(), true}}
	if hasIPv6() {
		ts = append(ts, target{netip.IPv6Unspecified(), true})
	}
	return ts
}

// hasIPv6 reports whether IPv6 is enabled. If it is disabled (Linux, disable_ipv6), the
// unspecified address can still be bound, but nothing is ever received.
func hasIPv6() bool {
	c, err := net.ListenPacket("udp6", "[::1]:0")
	if err != nil {
		return false
	}
	c.Close()
	return true
}

func parse(out Outbound, spec string) ([]target, uint16, error) {
	const form = "write HOST:PORT, [IPV6]:PORT, or :PORT for all addresses"
	host, service, err := net.SplitHostPort(spec)
	if err != nil {
		return nil, 0, &Error{Addr: strconv.Quote(spec), Reason: "is not an address to listen on", Hint: form, Err: err}
	}
	p, err := strconv.ParseUint(service, 10, 16)
	if err != nil {
		return nil, 0, &Error{Addr: strconv.Quote(spec), Reason: fmt.Sprintf("has the port %q, which is not a number from 0 to 65535", service), Hint: form, Err: err}
	}
	if host == "" || host == "*" {
		return allFamilies(), uint16(p), nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []target{{ip: ip.Unmap()}}, uint16(p), nil
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	ips, err := out.LookupNetIP(ctx, host)
	if err != nil {
		return nil, 0, &Error{Addr: strconv.Quote(host), Reason: "cannot be resolved", Hint: "check the name, or use a numeric address", Err: err}
	}
	// One address of each family: the first, as a connecting program would use.
	var ts []target
	for _, ip := range ips {
		t := target{ip: ip.Unmap()}
		if len(ts) == 0 || len(ts) == 1 && ts[0].ip.Is4() != t.ip.Is4() {
			ts = append(ts, t)
		}
	}
	return ts, uint16(p), nil
}

const (
	// attempts is how often to try again if the port that the system chose for one socket is in
	// use for another.
	attempts = 64
	// A port is tried again for lingerTime, every lingerPause, before it counts as in use: the last
	// copies of sockets that were closed here (holdForks) disappear only when the system lets the
	// program that has just started continue, which on a busy machine may take some 100 ms.
	lingerTime  = 500 * time.Millisecond
	lingerPause = 10 * time.Millisecond
)

// bindAll binds port on every target; port 0 means one that is free on all of them. It tries a port
// that is in use again for as long as patience.
func bindAll(out Outbound, ts []target, port uint16, patience time.Duration) (socks []sockets, err error) {
	tries, pause := 1+int(patience/lingerPause), lingerPause
	if port == 0 {
		tries, pause = attempts, 0
	}
	for i := range tries {
		if i > 0 {
			time.Sleep(pause)
		}
		if socks, err = bindPort(out, ts, port); err == nil || !errors.Is(err, errTaken) {
			return socks, err
		}
	}
	return nil, err
}

// bindPort binds port on every target; port 0 means the port that the system chooses for
// the first.
//
// A bind with SO_REUSEPORT succeeds on a port that another process of the same user holds
// with this option, and the two would then share the connections. So each address is
// first bound without it. For UDP this socket is kept: nothing else can be bound to its
// port, so a second seedbed fails there before it binds TCP, even if it starts at the
// same moment. TCP needs the option to dial from the port on which it listens.
func bindPort(out Outbound, ts []target, port uint16) (socks []sockets, err error) {
	defer holdForks()()
	defer func() {
		if err != nil {
			for i := range socks {
				socks[i].close()
			}
			socks = nil
		}
	}()
	var absent error
	for _, t := range ts {
		s := sockets{ip: t.ip}
		err := s.open(out, t, port)
		if err == nil {
			port = s.udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()
			socks = append(socks, s)
			continue
		}
		s.close()
		if !t.optional || isInUse(err) || errors.Is(err, fs.ErrPermission) {
			return socks, listenError(t, port, err)
		}
		absent = listenError(t, port, err)
	}
	if len(socks) == 0 {
		return nil, absent
	}
	return socks, nil
}

func (s *sockets) open(out Outbound, t target, port uint16) error {
	ctx := context.Background()
	addr := func() string { return netip.AddrPortFrom(t.ip, port).String() }
	datagrams := net.ListenConfig{Control: out.control(nil)}
	pc, err := datagrams.ListenPacket(ctx, t.network("udp"), addr())
	if err != nil {
		return err
	}
	s.udp = pc.(*net.UDPConn)
	port = s.udp.LocalAddr().(*net.UDPAddr).AddrPort().Port()

	exclusive := tcpListenConfig()
	exclusive.Control = out.control(nil)
	probe, err := exclusive.Listen(ctx, t.network("tcp"), addr())
	if err != nil {
		return err
	}
	probe.Close()
	shared := tcpListenConfig()
	shared.Control = out.control(reuseport.Control)
	s.tcp, err = shared.Listen(ctx, t.network("tcp"), addr())
	return err
}

// tcpListenConfig returns a configuration without multipath TCP and without the system's
// keepalives: BEP 3 has its own keepalives, and a peer that sends nothing is disconnected.
// TCP_NODELAY, Go's default, is right because all output of a turn is written at once.
func tcpListenConfig() *net.ListenConfig {
	lc := &net.ListenConfig{KeepAlive: -1}
	lc.SetMultipathTCP(false)
	return lc
}

// errTaken is wrapped by the errors for addresses that are in use.
var errTaken = errors.New("in use")

// listenError returns the *Error for a failure to listen on t.
func listenError(t target, port uint16, err error) error {
	var unusable *Error
	if errors.As(err, &unusable) { // its interface
		return unusable
	}
	e := &Error{Addr: netip.AddrPortFrom(t.ip, port).String(), Err: err}
	proto := "TCP"
	var op *net.OpError
	if errors.As(err, &op) && strings.HasPrefix(op.Net, "udp") {
		proto = "UDP"
	}
	switch {
	case isInUse(err):
		e.Err = fmt.Errorf("%w: %w", errTaken, err)
		e.Reason = fmt.Sprintf("is in use: another program holds its %s port", proto)
		e.Hint = "stop that program, or listen on another port (0 for any free port)"
	case errors.Is(err, fs.ErrPermission):
		e.Reason = "needs privileges that this user does not have"
		e.Hint = "listen on port 1024 or above"
	case isNoSuchAddr(err):
		e.Reason = "is not an address of this machine"
		e.Hint = "use one of its addresses, or leave the host empty for all addresses"
	default:
		e.Reason = fmt.Sprintf("cannot be opened: %v", err)
		e.Hint = "listen on another address"
	}
	return e
}
