package follow

import (
	"context"
	"errors"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/node"
)

// OfDomain returns the recorded follow of a state directory that was started by a domain name, or nil.
func OfDomain(state, domain string) *Followed {
	list, _ := List(state) // Restore reports the damaged records
	for i := range list {
		if list[i].Config.Domain == domain {
			return &list[i]
		}
	}
	return nil
}

// SetDomain records that the publication is followed by a domain name.
func (f *Follower) SetDomain(ctx context.Context, domain string) error {
	return f.ask(ctx, func() error {
		r := f.folder.file
		if r.Domain == domain {
			return nil
		}
		r.Domain = domain
		if err := f.folder.save(&r); err != nil {
			return err
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		f.folder.file = r
		return nil
	})
}

// supersede ends the recorded follows of a domain that has another key now. Their versions stay on disk.
func supersede(n *node.Node, domain string, target id.ID) error {
	list, _ := List(n.StateDir())
	var errs []error
	for _, old := range list {
		if old.Config.Domain != domain || old.Target == target {
			continue
		}
		f, err := openFolder(n.StateDir(), dht.ItemTarget(old.Config.Link.PublicKey, old.Config.Link.Salt))
		if err == nil {
			err = f.remove()
		}
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}
