package publish

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/internal/statefile"
	"seedbed/node"
)

// That a publication has ended is recorded in the object store, so that other machines stop republishing its item. The store may be
// away then, so what is still to be recorded there is in the state directory:
//
//	publications/ends/TARGET   an empty file, until the record of the target has the mark

func endsDir(state string) string { return filepath.Join(publicationsDir(state), "ends") }

// hasStore reports whether a publisher with an object store has used a state directory.
func hasStore(state string) bool {
	_, err := os.Stat(filepath.Join(publicationsDir(state), "publisher"))
	return err == nil
}

// oweEnd records that the end of a publication is still to be recorded in the store.
func oweEnd(state string, target id.ID) error {
	if err := statefile.MkdirAll(endsDir(state)); err != nil {
		return err
	}
	return statefile.WriteSync(filepath.Join(endsDir(state), target.String()), nil)
}

// cancelEnd undoes oweEnd for a publication that is published again.
func (p *Publisher) cancelEnd(target id.ID) {
	os.Remove(filepath.Join(endsDir(p.node.StateDir()), target.String()))
}

// recordEnd records in the store that the publication ends. It waits for the store for at most as long as one that works takes.
func (p *Publication) recordEnd() error {
	q := p.publisher
	target := p.Describe().Target
	if err := oweEnd(q.node.StateDir(), target); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(q.ctx, objectstore.Patience)
	defer cancel()
	if err := q.writeEnd(ctx, target, true); err != nil {
		p.warn(node.NewFault(node.FaultNetwork, fmt.Errorf("other machines with the object store may go on republishing what is no longer published, because the store cannot be told: %w", err),
			"that is done when the store answers while seedbed runs with it"))
		return nil
	}
	q.cancelEnd(target)
	return nil
}

// recordAlive records in the store that a publication that has ended is published again.
func (p *Publication) recordAlive() {
	if err := p.publisher.fence.patiently(p.ctx, nil, func() error { return p.publisher.writeEnd(p.ctx, p.Describe().Target, false) }); err != nil && p.ctx.Err() == nil {
		p.warn(fmt.Errorf("other machines with the object store do not republish this: %w", err))
	}
}

// writeEnds records the ends that are still to be recorded in the store.
func (p *Publisher) writeEnds() error {
	entries, err := os.ReadDir(endsDir(p.node.StateDir()))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range entries {
		target, err := id.ParseHex(e.Name())
		if err != nil {
			continue
		}
		if err = p.writeEnd(p.ctx, target, true); err == nil {
			p.cancelEnd(target)
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// writeEnd sets whether the record of a target in the store says that the publication has ended.
func (p *Publisher) writeEnd(ctx context.Context, target id.ID, ended bool) error {
	return p.fence.change(ctx, target, func(r *sharedRecord) bool {
		isNew := r.Ended != ended
		r.Ended = ended
		return isNew
	})
}
