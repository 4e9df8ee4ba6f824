package dht

import (
	"context"
	"net/netip"
	"time"

	"seedbed/internal/id"
)

// StepKind says what has happened in a lookup.
type StepKind uint8

const (
	Asked    StepKind = iota // a query was sent to a node
	Answered                 // the node has answered
	Failed                   // it has not answered, or with an error
)

// String returns the name of the kind, as it is written in JSON.
func (k StepKind) String() string { return [...]string{"asked", "answered", "failed"}[k] }

// A Step is one query of a lookup, or its outcome. A node that did not answer while the lookup ran has
// no outcome.
type Step struct {
	Kind  StepKind
	ID    id.ID // of the node; zero for a bootstrap host that was not asked before, and of Failed
	Addr  netip.AddrPort
	RTT   time.Duration // of Answered, like the next two
	Nodes int           // nodes that it returned
	Peers int           // peers that it returned
}

type traceKey struct{}

// WithTrace returns a context with which a lookup, a get or an announce calls trace for each step, one
// call at a time. trace must not block.
func WithTrace(ctx context.Context, trace func(Step)) context.Context {
	return context.WithValue(ctx, traceKey{}, trace)
}
