package bootstrap

import "seedbed/dht/krpc"

// Outcome is what became of a query that could be read.
type Outcome uint8

const (
	Answered Outcome = iota
	Small            // answered with few nodes
	Refused          // with an error
	Shed             // dropped because there was more to do than time for it
	NumOutcomes
)

func (o Outcome) String() string {
	return [...]string{"answered", "answered_small", "refused", "shed"}[o]
}

// Reason is why a datagram was dropped unread, or an answer to a ping passed
// over.
type Reason uint8

const (
	Martian    Reason = iota // no node can have its source address
	Limited                  // its source sends too much
	Malformed                // no KRPC message
	Unasked                  // a response that has none of our cookies
	Insecure                 // a response with an id that BEP 42 does not tie to its address
	Unroutable               // a response from where others cannot reach
	Unsent                   // an answer of ours that the system did not send
	NumReasons
)

func (r Reason) String() string {
	return [...]string{"martian", "limited", "malformed", "unasked", "insecure", "unroutable", "unsent"}[r]
}

// NumKinds is the number of krpc.Kind.
const NumKinds = int(krpc.SampleInfohashes) + 1

// Counts are counters since the start.
type Counts struct {
	Queries  [NumKinds][NumOutcomes]uint64
	Dropped  [NumReasons]uint64
	Noted    uint64 // nodes that are to be pinged later
	Pinged   uint64 // pings that we sent
	Verified uint64 // good answers to them
	In, Out  uint64 // datagrams
	InBytes  uint64
	OutBytes uint64
}

// Add adds those of another loop.
func (c *Counts) Add(o *Counts) {
	for k := range c.Queries {
		for i := range c.Queries[k] {
			c.Queries[k][i] += o.Queries[k][i]
		}
	}
	for i := range c.Dropped {
		c.Dropped[i] += o.Dropped[i]
	}
	c.Noted += o.Noted
	c.Pinged += o.Pinged
	c.Verified += o.Verified
	c.In += o.In
	c.Out += o.Out
	c.InBytes += o.InBytes
	c.OutBytes += o.OutBytes
}

// Sum is the queries with one outcome.
func (c *Counts) Sum(o Outcome) (n uint64) {
	for k := range c.Queries {
		n += c.Queries[k][o]
	}
	return n
}
