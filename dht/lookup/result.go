package lookup

// Closest is the k closest nodes that answered, closest first, each with the
// token that it gave. Where the neighbourhood is forged it is k nodes of it, the k
// closest of the others, and those that Widen added.
func (l *Lookup) Closest() []Node { return l.first(func(*candidate) bool { return true }) }

// Takers is the k closest nodes that take an announce or an item: those of
// Closest would be, had the ones without a token not answered. BEP 33: without
// one a node indicates that it currently cannot accept announces, and others are
// to be told in its place.
func (l *Lookup) Takers() []Node {
	return l.first(func(c *candidate) bool { return len(c.Token) > 0 })
}

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
