package node

import (
	"fmt"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/internal/addrs"
	"seedbed/internal/portmap"
)

// PortMap says by which methods routers are asked to map the port.
type PortMap uint8

const (
	PortMapAuto PortMap = iota // PCP, then NAT-PMP, then UPnP
	PortMapOff
	PortMapPCP
	PortMapNATPMP
	PortMapUPnP
)

// PortMapWords are the names of the values of PortMap, in order.
var PortMapWords = []string{"auto", "off", "pcp", "natpmp", "upnp"}

// methods returns the methods of p; nil means all.
func (p PortMap) methods() []portmap.Method {
	switch p {
	case PortMapPCP:
		return []portmap.Method{portmap.PCP}
	case PortMapNATPMP:
		return []portmap.Method{portmap.NATPMP}
	case PortMapUPnP:
		return []portmap.Method{portmap.UPnP}
	}
	return nil
}

// Start starts a port mapper with the methods of p. It returns nil if there is nothing to map or p
// is PortMapOff.
func (p PortMap) Start(cfg portmap.Config) *portmap.Mapper {
	if p == PortMapOff || !portmap.IsNeeded(cfg.Listen) {
		return nil
	}
	cfg.Methods = p.methods()
	return portmap.Start(cfg)
}

// portMapper is a portmap.Mapper, or that of a test.
type portMapper interface {
	Status() portmap.Status
	SetPort(port uint16)
	Renew()
	Close()
}

// moveEvery limits how often a router makes the node listen on another port.
const moveEvery = time.Minute

// mappedPorts is where peers reach the node.
type mappedPorts struct {
	ports atomic.Pointer[addrs.Ports] // told to peers and announced

	mu       sync.Mutex
	external [2]netip.AddrPort // mapped, IPv4 and IPv6; as the last events said
	moved    time.Time         // when a router last made us listen on another port
}

// startMapper asks routers to map the port, unless the network is that of a test.
func (n *Node) startMapper() {
	if n.cfg.Network == nil && n.cfg.Outbound.Proxy == "" { // nothing goes around a proxy
		changed := make(chan struct{}, 1)
		m := n.cfg.PortMap.Start(portmap.Config{Listen: n.net.Addrs(), Gateway: n.cfg.PortMapGateway,
			Interface: n.cfg.Outbound.Interface, Control: n.cfg.Outbound.Control(), Changed: func() { nudge(changed) }, Logger: n.log})
		if m != nil {
			n.mapper = m
			n.wg.Go(func() { n.followMapper(changed) })
		}
	}
	n.updateReach()
}

// followMapper tells peers and the DHT what routers map. If the port could not be changed, or not so
// soon, it tries again later.
func (n *Node) followMapper(changed chan struct{}) {
	again := time.NewTicker(moveEvery)
	defer again.Stop()
	for {
		select {
		case <-n.ctx.Done():
			return
		case <-changed:
		case <-again.C:
		}
		if port := n.updateReach(); port != 0 {
			n.log.Info("the router forwards to another port: listening there", "port", port)
			if err := n.SetPort(port); err != nil {
				n.log.Warn("cannot listen on the port to which the router forwards", "port", port, "err", err)
			}
		}
	}
}

// PortMapping returns which ports of the node routers map. isOn is false if none is asked: mapping is
// off, or no listening address is behind a router.
func (n *Node) PortMapping() (s portmap.Status, isOn bool) {
	if n.mapper == nil {
		return s, false
	}
	return n.mapper.Status(), true
}

// isMappingDecided reports whether the first attempt to map the port has ended with each router.
func (n *Node) isMappingDecided() bool {
	s, _ := n.PortMapping()
	return !slices.ContainsFunc(s.Targets, func(t portmap.Target) bool { return len(t.Mappings) == 0 && t.Err == nil })
}

// ports returns the ports at which peers reach us: Config.AnnouncePort, or else what routers
// map, or else the port that we listen on.
func (n *Node) ports() addrs.Ports { return *n.mapped.ports.Load() }

// updateReach finds out at which ports peers reach us, and tells them and the DHT if that has
// changed. It returns the port to listen on if the router forwards to another one than ours, or 0.
func (n *Node) updateReach() (move uint16) {
	n.mapped.mu.Lock()
	defer n.mapped.mu.Unlock()
	port := n.net.Port()
	ports := addrs.Ports{V4: port, V6: port, Local: port}
	nudge(n.evidence.wake)
	if status, isOn := n.PortMapping(); isOn {
		for family, own := range []*uint16{&ports.V4, &ports.V6} {
			m, ok := status.First(family == 1)
			switch {
			case !ok:
				if n.mapped.external[family].IsValid() {
					n.evidence.forget()
				}
				n.mapped.external[family] = netip.AddrPort{}
				continue
			case m.Asked != port: // of the port before
				continue
			case m.Internal.Port() != port:
				if n.cfg.PortMapGateway.IsValid() && time.Since(n.mapped.moved) > moveEvery {
					n.mapped.moved, move = time.Now(), m.Internal.Port()
				}
				continue
			}
			*own = m.External.Port()
			if n.mapped.external[family] != m.External {
				n.mapped.external[family] = m.External
				n.evidence.forget()
				n.Emit(Event{Kind: Mapped, Addr: m.External.String(), Mapping: MappingEvent{m.Method.String(), m.Router, m.Lease}})
			}
		}
	}
	if n.cfg.AnnouncePort != 0 {
		ports = addrs.Ports{V4: n.cfg.AnnouncePort, V6: n.cfg.AnnouncePort}
	}
	if before := n.mapped.ports.Swap(&ports); before == nil || *before == ports {
		return move
	}
	n.evidence.forget()
	for _, t := range n.running() {
		if r := t.run.Load(); r != nil {
			r.swarm.SetPorts(ports)
		}
	}
	if n.announcer != nil {
		n.announcer.SetPorts(ports)
	}
	return move
}

// mappedAddrs returns the external addresses that routers say they have.
func (n *Node) mappedAddrs() (list [2]netip.Addr) {
	n.mapped.mu.Lock()
	defer n.mapped.mu.Unlock()
	for i, a := range n.mapped.external {
		if a.IsValid() && !a.Addr().IsUnspecified() {
			list[i] = a.Addr()
		}
	}
	return list
}

// checkReach checks the settings of this file.
func (c *Config) checkReach() error {
	g := c.PortMapGateway
	switch {
	case g.IsValid() && !addrs.IsLocal(g):
		return usageFault(fmt.Errorf("the gateway %v is not on the local network: give the private address of a router, or of a VPN server inside the tunnel", g))
	case g.Is6() && g.IsLinkLocalUnicast() && g.Zone() == "":
		return usageFault(fmt.Errorf("the gateway %v needs its interface: write %v%%eth0, with the name of yours", g, g))
	}
	return nil
}
