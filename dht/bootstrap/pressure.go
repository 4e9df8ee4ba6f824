package bootstrap

// worth is how much it matters that a datagram is answered, from least to most.
type worth uint8

const (
	faulty   worth = iota // gets an error
	repeated              // has had nodes lately
	pinging               // knows us, and others therefore
	arriving              // needs nodes
)

// pressure decides what is dropped when more comes in than can be answered: the
// least worthy first, and more of it the fuller the socket's buffer is. What
// must be dropped by ourselves costs us half; what the system drops for us
// is anything.
type pressure struct {
	fill float64 // how full the buffer was lately, from 0 to 1
	min  worth   // what is answered
}

// add hears how full the buffer is. One full batch is no pressure yet.
func (p *pressure) add(fill float64) {
	p.fill += (fill - p.fill) / 8
	p.min = worth(max(0, min(4*p.fill, float64(arriving))))
}
