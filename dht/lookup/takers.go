package lookup

// Takers is the k closest nodes that take an announce or an item: those that
// answered with a token. BEP 33: without one a node indicates that it currently
// cannot accept announces, and others are to be told in its place.
func (l *Lookup) Takers() []Node {
	var ns []Node
	for _, c := range l.list {
		if c.state == answered && len(c.Token) > 0 && len(ns) < l.cfg.K {
			ns = append(ns, c.Node)
		}
	}
	return ns
}
