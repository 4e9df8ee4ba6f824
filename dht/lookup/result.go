package lookup

// Closest returns the k closest nodes that answered, closest first, each with the token that
// it gave. If the neighbourhood is forged, these are k nodes of it, the k closest of the
// others, and those that Widen added.
func (l *Lookup) Closest() []Node { return l.first(func(*candidate) bool { return true }) }

// Takers returns the k closest nodes that gave a token, and so take an announce or an item.
// BEP 33: a node without a token indicates that it currently cannot accept announces, and
// the announce goes to other nodes in its place.
func (l *Lookup) Takers() []Node {
	return l.first(func(c *candidate) bool { return len(c.Token) > 0 })
}

// first returns the k closest nodes that answered and that count accepts.
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
