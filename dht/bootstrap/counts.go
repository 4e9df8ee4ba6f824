package bootstrap

import "seedbed/dht/krpc"

// Outcome says how a valid query was handled.
type Outcome uint8

const (
	Answered Outcome = iota
	Small            // answered with few nodes
	Refused          // answered with an error
	Shed             // dropped because of overload
	NumOutcomes
)

func (o Outcome) String() string {
	return [...]string{"answered", "answered_small", "refused", "shed"}[o]
}

// Reason says why a datagram was dropped, or why the reply to a ping was ignored.
type Reason uint8

const (
	Martian    Reason = iota // no node can have this source address
	Limited                  // the source exceeds its rate
	Malformed                // not a KRPC message
	Unasked                  // a response without one of our cookies
	Insecure                 // a response whose id does not match its address (BEP 42)
	Unroutable               // a response from an address that others cannot reach
	Unsent                   // one of our datagrams, which the system did not send
	NumReasons
)

func (r Reason) String() string {
	return [...]string{"martian", "limited", "malformed", "unasked", "insecure", "unroutable", "unsent"}[r]
}

// NumKinds is the number of krpc.Kind.
const NumKinds = int(krpc.SampleInfohashes) + 1

// Counts holds counters since the start.
type Counts struct {
	Queries  [NumKinds][NumOutcomes]uint64
	Dropped  [NumReasons]uint64
	Noted    uint64 // nodes that became candidates
	Pinged   uint64 // pings that we sent
	Verified uint64 // valid replies to our pings
	In, Out  uint64 // datagrams
	InBytes  uint64
	OutBytes uint64
}

// Add adds the counters of another loop.
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

// Sum returns the number of queries with one outcome.
func (c *Counts) Sum(o Outcome) (n uint64) {
	for k := range c.Queries {
		n += c.Queries[k][o]
	}
	return n
}
