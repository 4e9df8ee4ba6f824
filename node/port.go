package node

import "errors"

// portSetter is a network that can change its port.
type portSetter interface {
	SetPort(port uint16) error
}

// SetPort makes the node listen on another port; 0 means any free one. Connections stay open,
// and every torrent is announced with the new port, unless Config.AnnouncePort is given. If the port cannot be used, the error is a
// *Fault and nothing changes.
func (n *Node) SetPort(port uint16) error {
	s, ok := n.net.(portSetter)
	if port == n.net.Port() {
		return nil
	}
	if !ok {
		return &Fault{Kind: FaultUsage, Err: errors.New("this network has one port only")}
	}
	n.settingsMu.Lock()
	defer n.settingsMu.Unlock()
	before := n.net.Port()
	if err := s.SetPort(port); err != nil {
		return NetworkFault(err)
	}
	port = n.net.Port()
	if port == before {
		return nil
	}
	if n.mapper != nil {
		n.mapper.SetPort(port)
	}
	n.updateReach()
	n.evidence.forget() // also if peers are told the same port as before
	n.emitListening()
	return nil
}
