package node

import (
	"context"
	"errors"
	"fmt"
	"math"
	"slices"

	"seedbed/internal/await"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

// Priority says how urgently a file is wanted. A peer is asked for what it has of the most urgent
// files first.
type Priority = engine.Priority

// The priorities. The zero value is PriorityNormal.
const (
	PriorityLow     = engine.PriorityLow
	PriorityNormal  = engine.PriorityNormal
	PriorityHigh    = engine.PriorityHigh
	PriorityMaximum = engine.PriorityMaximum
)

// PriorityNames are the names of the priorities, from PriorityLow on.
var PriorityNames = []string{"low", "normal", "high", "maximum"}

// PriorityName returns the name of a priority.
func PriorityName(p Priority) string { return PriorityNames[p-PriorityLow] }

// ParsePriority returns the priority with this name.
func ParsePriority(name string) (Priority, error) {
	i := slices.Index(PriorityNames, name)
	if i < 0 {
		return 0, usageFault(fmt.Errorf("%q is not a priority: the priorities are low, normal, high and maximum", name))
	}
	return PriorityLow + Priority(i), nil
}

// Priorities are the files of a torrent whose priority is not PriorityNormal: sorted file numbers,
// as in Spec.Select. They may be set before the metadata is known; numbers that the torrent turns
// out not to have are ignored.
type Priorities struct {
	Low     []int `json:"low,omitempty"`
	High    []int `json:"high,omitempty"`
	Maximum []int `json:"maximum,omitempty"`
}

// isZero reports whether every file has PriorityNormal.
func (p Priorities) isZero() bool { return len(p.Low)+len(p.High)+len(p.Maximum) == 0 }

// lists returns the list of each priority but PriorityNormal.
func (p *Priorities) lists() map[Priority]*[]int {
	return map[Priority]*[]int{PriorityLow: &p.Low, PriorityHigh: &p.High, PriorityMaximum: &p.Maximum}
}

// With returns p with another priority of some files. It does not modify the lists of p.
func (p Priorities) With(to Priority, numbers []int) Priorities {
	sorted := slices.Compact(slices.Sorted(slices.Values(numbers)))
	for at, list := range p.lists() { // each is changed on its own
		rest := slices.DeleteFunc(slices.Clone(*list), func(n int) bool { _, ok := slices.BinarySearch(sorted, n); return ok })
		if at == to {
			rest = append(rest, sorted...)
			slices.Sort(rest)
		}
		*list = rest
		if len(rest) == 0 {
			*list = nil
		}
	}
	return p
}

// Of returns the priority of each of the first n files.
func (p Priorities) Of(n int) []Priority {
	out := make([]Priority, n)
	for at, list := range p.lists() { // no file is in two of them
		for _, number := range *list {
			if number >= 1 && number <= n {
				out[number-1] = at
			}
		}
	}
	return out
}

// maxFileNumber limits the file numbers of a torrent whose files are not known.
const maxFileNumber = math.MaxInt32

func (p *Priorities) validate() error {
	seen := 0
	all := slices.Sorted(slices.Values(slices.Concat(p.Low, p.High, p.Maximum)))
	for _, n := range all {
		if n <= seen || n > maxFileNumber {
			return fmt.Errorf("the priority of file %d is invalid, or given twice", n)
		}
		seen = n
	}
	return nil
}

// Order says in which order the pieces of files of one priority are requested. The zero Order
// means rarest first.
type Order struct {
	// Sequential requests the pieces in sequence, beginning at From and after the last piece with
	// those before From.
	Sequential bool `json:"sequential,omitempty"`
	From       int  `json:"from,omitempty"`
	// FirstLast gives the first and last hundredth of each wanted file, at least a piece,
	// PriorityMaximum.
	FirstLast bool `json:"first_last,omitempty"`
}

func (o *Order) validate() error {
	if o.From < 0 || o.From > math.MaxInt32 {
		return fmt.Errorf("%d is not the number of a piece", o.From)
	}
	return nil
}

// SetPriority changes the priority of files. The numbers are those of Spec.Select; nil means all
// files. While the metadata is not known, the numbers cannot be checked, and all files can only get
// PriorityNormal.
func (t *Torrent) SetPriority(ctx context.Context, p Priority, numbers []int) error {
	if p < PriorityLow || p > PriorityMaximum {
		return usageFault(fmt.Errorf("%d is not a priority", p))
	}
	info := t.Info()
	switch {
	case numbers != nil:
		for _, n := range numbers {
			if n < 1 || n > maxFileNumber || info != nil && n > info.Stored() {
				return &Fault{Kind: FaultSelection, Err: fmt.Errorf("%s has no file %d", t.Name(), n), hint: "seedbed files lists them by number"}
			}
		}
	case p == PriorityNormal: // no file is listed then
	case info != nil:
		for i := range info.Stored() {
			numbers = append(numbers, i+1)
		}
	default:
		return &Fault{Kind: FaultUsage, Err: fmt.Errorf("the files of %s are not known yet", t.Name()), hint: "name the files by their numbers, or wait for the metadata"}
	}
	return t.changeOrder(ctx, func(s *Spec) {
		if numbers == nil {
			s.Priorities = Priorities{}
		} else {
			s.Priorities = s.Priorities.With(p, numbers)
		}
	})
}

// SetOrder changes the order in which pieces are requested.
func (t *Torrent) SetOrder(ctx context.Context, o Order) error {
	if err := o.validate(); err != nil {
		return usageFault(err)
	}
	return t.changeOrder(ctx, func(s *Spec) { s.Order = o })
}

// changeOrder changes the Spec and passes the new order to the swarm, which continues to run.
func (t *Torrent) changeOrder(ctx context.Context, edit func(*Spec)) error {
	return await.Do(ctx, func() error {
		err := t.changeNow(func(c *control) error {
			if err := c.spec.refuseObjects("be preferred to others"); err != nil {
				return err
			}
			c.editSpec(edit)
			return nil
		}, func(*lifecycle.Intent) {})
		if r := t.run.Load(); err == nil && r != nil {
			t.passOrder(r)
		}
		return err
	})
}

// passOrder passes the order of the pieces to the swarm if the metadata is known.
func (t *Torrent) passOrder(r *run) {
	if info := t.info.Load(); info != nil {
		r.swarm.SetOrder(func() engine.Order { return orderOf(t.spec(), info) })
	}
}

// orderOf returns the order that a Spec asks for.
func orderOf(s Spec, info *metainfo.Info) engine.Order {
	o := engine.Order{FirstLast: s.Order.FirstLast, Sequential: s.Order.Sequential, From: uint32(s.Order.From)}
	if s.Priorities.isZero() {
		return o
	}
	priorities := s.Priorities.Of(info.Stored())
	o.Files = make([]Priority, len(info.Files))
	n := 0
	for i := range info.Files {
		if !info.Files[i].Pad {
			o.Files[i] = priorities[n]
			n++
		}
	}
	return o
}

// SetMaxPeers limits the connected peers of the torrent, within the limit of the node; 0 means that
// one alone. If there are more, the least useful ones are disconnected.
func (t *Torrent) SetMaxPeers(ctx context.Context, n int) error {
	if n < 0 || n > math.MaxInt32 {
		return usageFault(errors.New("the limit of peers must not be negative"))
	}
	return t.change(ctx, func(c *control) error {
		c.editSpec(func(s *Spec) { s.MaxPeers = n })
		return nil
	}, func(*lifecycle.Intent) {
		if r := t.run.Load(); r != nil {
			r.maxPeers.Store(int32(n))
			t.node.reshare()
		}
	})
}
