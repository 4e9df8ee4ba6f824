package pubcmd

import (
	"context"
	"errors"
	"time"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/making"
	"seedbed/internal/objectstore"
)

// checkSource returns an error if what is to be published does not exist, or can be no place in an object store.
func (p *publishing) checkSource() error {
	if !objectstore.IsLocation(p.path) {
		return making.CheckSource(p.path)
	}
	at, err := objectstore.ParseLocation(p.path)
	if err != nil {
		return exit.Misuse(err)
	}
	if p.secret {
		return exit.Misuse(errors.New("--secret encrypts a copy of the files on this machine, so it cannot be used for an object store"))
	}
	p.path = at.String()
	return nil
}

// objectsEvery is the interval at which objects are checked for changes, unless the user gives another one. Listing them costs one
// request for every 1,000.
const objectsEvery = 30 * time.Second

// interval returns the interval at which a path or location is watched.
func (p *publishing) interval(path string) time.Duration {
	if objectstore.IsLocation(path) && !p.isEverySet {
		return objectsEvery
	}
	return p.every
}

// chooseStore sets the object store to the place that is published, unless the user has given another one. For one object it is the
// folder that contains it, because there can be nothing below an object.
func (p *publishing) chooseStore(ctx context.Context, f *app.Flags) error {
	if f.HasStore() || !objectstore.IsLocation(p.path) {
		return nil
	}
	at, err := objectstore.ParseLocation(p.path)
	if err != nil {
		return err
	}
	store, away, err := f.ObjectStore(ctx, at)
	if err != nil {
		return err
	}
	defer store.Close()
	if away != nil {
		return away
	}
	f.Store.Location = at
	if parent, name, ok := store.Parent(); ok {
		switch _, err := parent.Stat(ctx, name); {
		case err == nil:
			f.Store.Location = parent.Location()
		case objectstore.KindOf(err) != objectstore.NotFound:
			return err
		}
	}
	return nil
}
