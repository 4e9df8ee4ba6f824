package daemon

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"slices"

	"seedbed/dht"
	"seedbed/internal/await"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/follow"
	"seedbed/node/names"
	"seedbed/node/publish"
)

// Follows returns the publications that the daemon follows, sorted by folder.
func (d *Daemon) Follows() []*follow.Follower {
	p := &d.publications
	if p.publisher == nil {
		return nil
	}
	p.awaitRestored(d.node)
	p.mu.Lock()
	list := slices.Collect(maps.Values(p.follows))
	p.mu.Unlock()
	slices.SortFunc(list, func(a, b *follow.Follower) int {
		return cmp.Compare(a.Describe().Config.Dir, b.Describe().Config.Dir)
	})
	return list
}

// ReadLinks returns the links with which the daemon reads private publications: of those that it
// follows.
func (d *Daemon) ReadLinks() (links []*magnet.Link) {
	for _, f := range d.Follows() {
		if l := f.Describe().Config.Link; l.Secret.CanRead() {
			links = append(links, l)
		}
	}
	return links
}

// FindFollow returns the follower that name names. The error is ErrNoPublication, or an
// *AmbiguousError.
func (d *Daemon) FindFollow(name string) (*follow.Follower, error) {
	return only(d.Follows(), name, ErrNoPublication, func(f *follow.Follower) bool { return publish.IsTarget(f.Describe().Target, name) })
}

// Follow follows a publication. If the daemon follows it already, added is false, and nothing but its
// Domain changes. If the daemon follows another publication by the same Domain, that ends. If cfg has no Dir, it gets a folder in that of the daemon.
func (d *Daemon) Follow(ctx context.Context, cfg follow.Config) (f *follow.Follower, added bool, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, false, usage(err, "")
	}
	if err := checkPeers(cfg.Peers); err != nil {
		return nil, false, err
	}
	if cfg.Dir == "" {
		cfg.Dir = FollowFolder(&cfg, d.node.StateDir())
		if !filepath.IsAbs(cfg.Dir) {
			cfg.Dir = filepath.Join(d.Dir(), cfg.Dir)
		}
	}
	target := dht.ItemTarget(cfg.Link.PublicKey, cfg.Link.Salt)
	if f := d.follower(target); f != nil {
		if cfg.Domain != "" {
			err = f.SetDomain(ctx, cfg.Domain)
		}
		return f, false, err
	}
	for _, old := range d.Follows() {
		if cfg.Domain != "" && old.Describe().Config.Domain == cfg.Domain {
			if err := d.Unfollow(ctx, old); err != nil {
				return nil, false, err
			}
		}
	}
	if m := d.publications.pins.Load(); m != nil && m.Has(target) {
		return nil, false, node.NewFault(node.FaultConflict, errors.New("the publication is pinned"), "remove the pin first: seedbed pin remove "+target.String()[:8])
	}
	err = await.Do(ctx, func() (err error) {
		if cfg.Dir, err = d.allowed().check(cfg.Dir); err != nil {
			return err
		}
		f, err := follow.Start(d.node, cfg)
		if err == nil {
			d.publications.mu.Lock()
			defer d.publications.mu.Unlock()
			d.publications.follows[target] = f
		}
		return err
	})
	f = d.follower(target)
	if err != nil && f != nil { // another client was faster
		return f, false, nil
	}
	return f, err == nil, err
}

func (d *Daemon) follower(target id.ID) *follow.Follower {
	if d.publications.publisher != nil {
		d.publications.awaitRestored(d.node)
	}
	d.publications.mu.Lock()
	defer d.publications.mu.Unlock()
	return d.publications.follows[target]
}

// FollowFolder returns the folder for a publication for which the user names none: the domain, or the
// beginning of the key. If the domain is followed already, with an earlier key, it is the folder of
// that, which is absolute.
func FollowFolder(cfg *follow.Config, state string) string {
	if cfg.Domain == "" {
		return "btpk-" + cfg.Link.PublicKey.Short().String()[:8]
	}
	if old := follow.OfDomain(state, cfg.Domain); old != nil {
		return old.Config.Dir
	}
	return cfg.Domain
}

// ResolveName returns the link of the publication that a domain names. With accept, the key that the
// DNS has now is pinned in place of an earlier one, and a warning says so.
func (d *Daemon) ResolveName(ctx context.Context, domain string, accept bool) (*magnet.Link, error) {
	if !accept {
		return d.names.Resolve(ctx, domain)
	}
	link, before, err := d.names.Accept(ctx, domain)
	if err == nil && before != nil {
		d.warn("the key of a name", fmt.Errorf("the change of %s from %s to the key %s is accepted", domain, before.Publication, link.PublicKey))
	}
	return link, err
}

// Names resolves the domain names of publications.
func (d *Daemon) Names() *names.Names { return d.names }

// watchNames warns when the domain of a follow names another publication.
func (d *Daemon) watchNames() {
	d.names.Watch(d.node.Context(), func() (domains []string) {
		for _, f := range d.Follows() {
			if domain := f.Describe().Config.Domain; domain != "" {
				domains = append(domains, domain)
			}
		}
		return domains
	}, func(err error) { d.warn("a name is not as before", err) })
}

// Unfollow ends a follow for good; see follow.Follower.Remove.
func (d *Daemon) Unfollow(ctx context.Context, f *follow.Follower) error {
	p := &d.publications
	p.mu.Lock()
	delete(p.follows, f.Describe().Target)
	p.mu.Unlock()
	if err := f.Remove(ctx); err != nil {
		return fmt.Errorf("the publication is not completely removed: %w", err)
	}
	return nil
}
