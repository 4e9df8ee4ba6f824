package publish

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"seedbed/internal/await"
	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/node"
)

// DHT nodes forget an item after two hours. So the nodes that share an object store republish the items of each other's
// publications from the records there, which they can do without the keys. In a fleet, the owners of a target do it.
//
// Everybody with write access to the store can put anything there. So a record that cannot be used costs one warning, and is not read
// again until it has changed, and the numbers of records and of requests are bounded.

const (
	// othersEvery is the interval at which the records are listed, which takes one request for every 1,000. A publisher puts its item
	// every hour, so that one that dies leaves it in the DHT for at least an hour.
	othersEvery = 20 * time.Minute
	// maxOthers limits the items of others that a node republishes; each takes about 1.5 KB. At its default rate a dht.Keeper has a
	// round for each of them every hour.
	maxOthers = 4096
	// maxOthersListed limits the objects that are listed, and so the requests: stores list 1,000 at a time.
	maxOthersListed = 100_000
	// maxOthersRead limits the records that are read in one round, with two requests each. The rest is read in the next one.
	maxOthersRead = maxOthers
	// maxOthersFailed is how many records the store may fail to give in one round. With more, the store itself has failed.
	maxOthersFailed = 10
	// maxOthersWarned limits the warnings of one round about single records.
	maxOthersWarned = 10
)

// others has the publications of other machines whose items this one republishes. One goroutine uses it.
type others struct {
	p     *Publisher
	kept  map[id.ID]otherRecord
	items int // that are republished

	isFailing, isFull, strayed bool // what the last round has warned about, or would have
}

// otherRecord is what is known of a record of the store.
type otherRecord struct {
	version string   // of the object; see versionOf
	stops   []func() // end the republishing; none if the publication has ended, or the record cannot be used
	round   int      // in which it was listed last
}

// keepOthers republishes the items of other machines until the publisher ends.
func (p *Publisher) keepOthers() {
	o := others{p: p, kept: map[id.ID]otherRecord{}}
	defer func() {
		for target := range o.kept {
			o.drop(target)
		}
	}()
	for number := 1; ; number++ {
		err := errors.Join(p.writeEnds(), o.update(p.ctx, number))
		isFailing := err != nil && p.ctx.Err() == nil && objectstore.KindOf(err) != objectstore.Unavailable
		if isFailing && !o.isFailing {
			o.warn(fmt.Errorf("publications of other machines cannot be kept alive: %w", err))
		}
		o.isFailing = isFailing
		if await.Sleep(p.ctx, othersEvery) != nil {
			return
		}
	}
}

func (o *others) warn(err error) { o.p.node.Emit(node.Event{Kind: node.Warning, Err: err}) }

// drop ends the republishing of what a record says, and forgets the record.
func (o *others) drop(target id.ID) {
	was := o.kept[target]
	for _, stop := range was.stops {
		stop()
	}
	o.items -= len(was.stops)
	delete(o.kept, target)
}

// round is what one listing of the records has led to.
type round struct {
	number          int
	read            int     // records
	damaged         []error // records that cannot be used
	failed          []error // records that the store has not given
	isFull, strayed bool    // something was left out because there is too much; there are objects that are no records
}

// update brings what is republished up to date with the records in the store. What was republished stays if the store fails.
func (o *others) update(ctx context.Context, number int) error {
	own := map[id.ID]bool{}
	for _, pub := range o.p.Open() {
		own[pub.Describe().Target] = true
	}
	r := round{number: number}
	listed := 0
	for object, err := range o.p.fence.store.List(ctx, publicationsPrefix) {
		if err != nil {
			return err
		}
		if listed++; listed > maxOthersListed {
			r.isFull = true
			break
		}
		target, err := id.ParseHex(strings.TrimPrefix(object.Name, publicationsPrefix))
		if err != nil || publicationsPrefix+target.String() != object.Name {
			r.strayed = true
			continue
		}
		if own[target] || !o.p.node.Owns(target) {
			continue
		}
		if err := o.look(ctx, &r, target, &object); err != nil {
			return err
		}
	}
	for target, k := range o.kept {
		if k.round != number {
			o.drop(target)
		}
	}
	o.report(&r)
	return errors.Join(r.failed...)
}

// look reads a record if it is new or has changed, and republishes what it says. The error ends the round.
func (o *others) look(ctx context.Context, r *round, target id.ID, object *objectstore.Object) error {
	was, isKnown := o.kept[target]
	if isKnown {
		was.round = r.number
		o.kept[target] = was
	}
	switch {
	case isKnown && was.version == versionOf(object):
		return nil
	case !isKnown && o.items >= maxOthers:
		r.isFull = true
		return nil
	case r.read == maxOthersRead:
		return nil
	}
	r.read++
	record, err := o.load(ctx, target, object)
	next := otherRecord{version: versionOf(object), round: r.number}
	switch {
	case ctx.Err() != nil:
		return ctx.Err()
	case isUnusable(err):
		r.damaged = append(r.damaged, err)
		next.stops = was.stops // what was republished stays
		o.kept[target] = next
		return nil
	case err != nil:
		if r.failed = append(r.failed, err); len(r.failed) > maxOthersFailed {
			return r.failed[0]
		}
		return nil
	}
	o.drop(target)
	if record != nil && !record.Ended {
		for _, item := range record.items() {
			next.stops = append(next.stops, o.p.items.Keep(item, false, nil))
		}
	}
	o.items += len(next.stops)
	o.kept[target] = next
	return nil
}

// load reads the record of a target, which is nil if there is none any more.
func (o *others) load(ctx context.Context, target id.ID, object *objectstore.Object) (*sharedRecord, error) {
	if object.Size > maxSharedSize {
		return nil, node.NewFault(node.FaultIO, fmt.Errorf("%s has %d bytes, and a record has at most %d", o.p.fence.store.Location().Name(object.Name), object.Size, maxSharedSize), "")
	}
	r, _, err := o.p.fence.load(ctx, target)
	return r, err
}

// isUnusable reports whether an error of load stays as long as the object does.
func isUnusable(err error) bool {
	var f *node.Fault
	return errors.As(err, &f) || objectstore.KindOf(err) == objectstore.Unsupported
}

// versionOf returns what changes with the content of an object.
func versionOf(o *objectstore.Object) string {
	if o.ETag != "" {
		return o.ETag
	}
	return fmt.Sprint(o.Size, " ", o.Modified.UnixNano())
}

// report warns about what a round has left out, once.
func (o *others) report(r *round) {
	for _, err := range r.damaged[:min(len(r.damaged), maxOthersWarned)] {
		o.warn(fmt.Errorf("a publication of another machine is not kept alive: %w", err))
	}
	if more := len(r.damaged) - maxOthersWarned; more > 0 {
		o.warn(fmt.Errorf("%d more publications of other machines are not kept alive, because their records cannot be used", more))
	}
	folder := o.p.fence.store.Location().Name(publicationsPrefix)
	if r.strayed && !o.strayed {
		o.warn(node.NewFault(node.FaultOther, fmt.Errorf("%s has objects that are no records of publications", folder), "remove them; seedbed ignores them"))
	}
	if r.isFull && !o.isFull {
		o.warn(node.NewFault(node.FaultOther, fmt.Errorf("%s has more than the %d items of other machines that one node keeps alive", folder, maxOthers), "run several nodes as a fleet, which shares them out"))
	}
	o.strayed, o.isFull = r.strayed, r.isFull
}
