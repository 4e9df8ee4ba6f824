package fleet

import (
	"fmt"
	"slices"
	"time"

	"seedbed/internal/mono"
	"seedbed/node"
)

const (
	// troubleAfter is how long something must be wrong before the user is warned: restarts and partitions end by themselves.
	troubleAfter = 45 * time.Second
	// troubleFor is how long something is remembered that is not seen again. What is wrong at times is one trouble.
	troubleFor = time.Minute
)

// trouble is something that stays wrong with the fleet until somebody changes the configuration. The user is warned once.
type trouble struct {
	first, last mono.Time // when it was seen
	isReported  bool      // to the user
}

// see notes that the trouble is seen now.
func (t *trouble) see(now mono.Time) {
	if t.last = now; t.first == 0 {
		t.first = now
	}
}

// isDue reports whether the user has to be warned now. It returns true once.
func (t *trouble) isDue() bool {
	isDue := !t.isReported && t.last.Sub(t.first) >= troubleAfter
	t.isReported = t.isReported || isDue
	return isDue
}

// isOver reports whether it has not been seen for long.
func (t *trouble) isOver(now mono.Time) bool { return now.Sub(t.last) > troubleFor }

// dueTroubles looks at the members and returns an error for each trouble that has to be reported now. mu is held.
func (f *Fleet) dueTroubles(now mono.Time) (errs []error) {
	wrong := f.wrong()
	for what := range wrong {
		if f.troubles[what] == nil {
			f.troubles[what] = &trouble{}
		}
		f.troubles[what].see(now)
	}
	for what, t := range f.troubles {
		if t.isOver(now) {
			delete(f.troubles, what)
		} else if err := wrong[what]; err != nil && t.isDue() {
			errs = append(errs, err)
		}
	}
	return append(errs, f.dueConflicts(now)...)
}

// wrong returns what is wrong now, by a name of it. There are at most one for each member, and two more. mu is held.
func (f *Fleet) wrong() map[string]error {
	all := map[string]error{}
	if err := f.joined.err; err != nil {
		all["unreachable"] = node.NewFault(node.FaultNetwork, fmt.Errorf("no node of --fleet can be reached: %w", err), "it is tried again")
	}
	var others []string // with another store
	for name, m := range f.members.live {
		if m.about.Store != f.store {
			others = append(others, name)
		}
	}
	if len(others) > 0 {
		name := slices.Min(others)
		what := fmt.Sprintf("the node %s of the fleet, at %s, has another --store", name, f.members.live[name].addr)
		if len(others) > 1 {
			what = fmt.Sprintf("%d nodes of the fleet have another --store, such as %s at %s", len(others), name, f.members.live[name].addr)
		}
		all["store"] = node.NewFault(node.FaultConflict, fmt.Errorf("%s, and so no part of the torrents of this one", what), "give all nodes of a fleet the same bucket and prefix")
	}
	for name, other := range f.members.sharing() {
		if name < other {
			all["address "+name] = node.NewFault(node.FaultConflict, fmt.Errorf("the nodes %s and %s of the fleet tell the others the same address, %s", name, other, f.members.live[name].addr),
				"give each node a --fleet-listen or --fleet-advertise of its own")
		}
	}
	return all
}
