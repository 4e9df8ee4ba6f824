package bootstrap

// worth is the priority of a datagram, from lowest to highest.
type worth uint8

const (
	faulty   worth = iota // gets an error
	repeated              // has got nodes recently
	pinging               // has our address, and therefore knows other nodes
	arriving              // needs nodes
)

// pressure decides what to drop when more datagrams arrive than we can answer. It
// drops the lowest priority first, and more the fuller the socket's buffer is.
// A datagram that we drop costs about half of one that we answer. The system
// drops datagrams of any priority.
type pressure struct {
	fill float64 // recent fill level of the buffer, from 0 to 1
	min  worth   // lowest priority that is answered
}

// add records the fill level of the buffer. One full batch alone is not overload.
func (p *pressure) add(fill float64) {
	p.fill += (fill - p.fill) / 8
	p.min = worth(max(0, min(4*p.fill, float64(arriving))))
}
