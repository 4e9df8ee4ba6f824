package bootstrap

// priority is the priority of a query, from lowest to highest.
type priority uint8

const (
	errorReply priority = iota // the reply is an error
	gotNodes                   // find_node and the like from a source that recently got nodes
	pingOnly                   // a ping: the sender is in the DHT already
	needsNodes                 // the first query for nodes from this source
)

// pressure decides which queries to drop when more arrive than we can answer. The fuller
// the socket's buffer is, the higher are the priorities that are dropped. Dropping a query
// here costs about half as much as answering it. If we did not, the system would drop
// datagrams of any priority.
type pressure struct {
	fill float64  // recent fill level of the buffer, from 0 to 1
	min  priority // lowest priority that is answered
}

// add records the fill level of the buffer. One full batch alone is not overload.
func (p *pressure) add(fill float64) {
	p.fill += (fill - p.fill) / 8
	p.min = priority(max(0, min(4*p.fill, float64(needsNodes))))
}
