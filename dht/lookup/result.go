package lookup

// Closest returns the k closest nodes that answered, closest first, each with its token. If
// the neighbourhood is forged, these are k nodes of it, the k closest of the others, and
// those that Widen added.
func (l *Lookup) Closest() []Node { return l.first(func(*candidate) bool { return true }) }

// ClosestWithToken returns the k closest nodes that gave a token, and so accept an announce
// or an item. BEP 33: a node that returns no token indicates that it currently cannot
// accept announces; the announce goes to other nodes instead.
func (l *Lookup) ClosestWithToken() []Node {
	return l.first(func(c *candidate) bool { return len(c.Token) > 0 })
}

// first returns the k closest nodes that answered and for which count returns true.
func (l *Lookup) first(count func(*candidate) bool) []Node {
	var ns []Node
	zone, others := 0, 0
	for _, c := range l.list {
		if c.state != answered || !count(c) {
			continue
		}
		n := &others
		if l.inZone(c) {
			n = &zone
		}
		if *n < l.cfg.K || c.beside {
			*n++
			ns = append(ns, c.Node)
		}
	}
	return ns
}
