package addrs

// Ports are the ports at which peers reach us, one for each address family. They differ if a
// router maps the IPv4 port to another one. 0 means none.
type Ports struct {
	V4, V6 uint16
}

// Of returns the port for one family.
func (p Ports) Of(v6 bool) uint16 {
	if v6 {
		return p.V6
	}
	return p.V4
}
