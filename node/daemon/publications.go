package daemon

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/dht"
	"seedbed/internal/await"
	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/node"
	"seedbed/node/delegate"
	"seedbed/node/follow"
	"seedbed/node/keys"
	"seedbed/node/pins"
	"seedbed/node/publish"
)

// Clients name a publication by the target of its item in the DHT, by at least four digits of the
// beginning of the target, or by the name of its key on this machine. They name a publication that the
// daemon follows in the same ways, except by a key.

// publications are what the daemon publishes and follows. The publisher is nil without a DHT.
type publications struct {
	keys      keys.Store
	omit      func(fs.FileInfo) bool
	publisher *publish.Publisher
	pins      atomic.Pointer[pins.Manager] // nil without a DHT, or if its record cannot be read

	restored chan struct{} // closed when those on record are open; they are resumed afterwards
	mu       sync.Mutex
	watches  map[id.ID]context.CancelFunc // of watched publications, by target
	follows  map[id.ID]*follow.Follower   // by target
	watching sync.WaitGroup
}

// openPublications starts to open and resume the publications and follows that the state directory has
// on record. To resume publications takes long: it reads what is published and asks the DHT.
func (d *Daemon) openPublications() (err error) {
	p := &d.publications
	p.watches, p.follows = map[id.ID]context.CancelFunc{}, map[id.ID]*follow.Follower{}
	if _, err := d.node.Items(); err != nil { // publications and follows need the DHT
		return nil
	}
	if p.publisher, err = publish.New(d.node); err != nil {
		return err
	}
	p.restored = make(chan struct{})
	d.openPins()
	p.watching.Go(func() { d.restorePublications(d.node.Context()) })
	return nil
}

// awaitRestored waits until the publications and follows on record are open, or the node ends. That
// waits for the disk, but not for the DHT.
func (p *publications) awaitRestored(n *node.Node) {
	select {
	case <-p.restored:
	case <-n.Context().Done():
	}
}

func (d *Daemon) restorePublications(ctx context.Context) {
	p := &d.publications
	reopened := p.publisher.Reopen(publish.RestoreConfig{Key: p.keys.Key, Sharing: d.sharing(), Resumed: d.watch})
	d.restoreFollows()
	close(p.restored)
	_, failed := reopened.Resume(ctx)
	d.warn("a publication was not restored", errors.Join(failed...))
}

func (d *Daemon) restoreFollows() {
	p := &d.publications
	followers, failed := follow.Restore(d.node)
	d.warn("a follow was not restored", errors.Join(failed...))
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, f := range followers {
		p.follows[f.Describe().Target] = f
	}
}

func (d *Daemon) sharing() publish.Sharing {
	return publish.Sharing{Omit: d.publications.omit, Warn: func(err error) { d.warn("publishing", err) }}
}

// watch watches the path of a publication at its interval, in place of an earlier watch.
func (d *Daemon) watch(pub *publish.Publication) {
	p := &d.publications
	what := pub.Describe()
	p.mu.Lock()
	defer p.mu.Unlock()
	if stop := p.watches[what.Target]; stop != nil {
		stop()
		delete(p.watches, what.Target)
	}
	if what.Watch <= 0 {
		return
	}
	ctx, cancel := context.WithCancel(d.node.Context())
	p.watches[what.Target] = cancel
	p.watching.Go(func() {
		defer cancel()
		d.warn(what.Path+" is no longer watched", pub.Watch(ctx, what.Watch))
	})
}

// Publications returns what the daemon publishes, sorted by key name and salt. After Open, it waits
// until the records of publications and follows are read; Follows does too.
func (d *Daemon) Publications() []*publish.Publication {
	if d.publications.publisher == nil {
		return nil
	}
	d.publications.awaitRestored(d.node)
	return d.publications.publisher.Open()
}

// ErrNoPublication is returned for a publication or follow that does not exist.
var ErrNoPublication = publish.ErrUnknown

// FindPublication returns the publication that name names. The errors are those of publish.Find.
func (d *Daemon) FindPublication(name string) (*publish.Publication, error) {
	pubs := d.Publications()
	list := make([]publish.Published, len(pubs))
	for i, p := range pubs {
		list[i] = p.Describe()
	}
	i, err := publish.Find(list, name)
	if err != nil {
		return nil, err
	}
	return pubs[i], nil
}

// EndedPublications returns the publications that have ended with their history kept, sorted by key
// name and salt. It leaves out damaged records, about which the daemon warns when it starts.
func (d *Daemon) EndedPublications(ctx context.Context) ([]publish.Published, error) {
	open := map[id.ID]bool{} // one that is being published again is on record as ended until that is done
	for _, p := range d.Publications() {
		open[p.Describe().Target] = true
	}
	var list []publish.Published
	if err := await.Do(ctx, func() error {
		list, _ = publish.List(d.node.StateDir())
		return nil
	}); err != nil {
		return nil, err
	}
	return slices.DeleteFunc(list, func(p publish.Published) bool { return !p.Ended || open[p.Target] }), nil
}

// PublishRequest says what to publish.
type PublishRequest struct {
	Key      string // the name of a key on this machine; it is created if it does not exist and Path is set
	Salt     string
	Path     string             // in an allowed folder, or a location in the object store; "": what was published before
	Watch    time.Duration      // the interval at which to publish changes of Path; 0: do not
	Options  *node.ShareOptions // nil: those of the last time
	WebSeeds []string           // nil: those of the last time
	// Delegation is the text of a delegation file, or "".
	Delegation string
	Overrule   bool // continue from a version that another machine has published
	Secret     bool // make it a private publication
}

// Publish starts a job that publishes a file or folder under a key, as a new version if the
// content has changed. Its result is a publish.Outcome.
func (d *Daemon) Publish(ctx context.Context, r PublishRequest) (*Job, error) {
	if d.publications.publisher == nil {
		return nil, publish.ErrNoDHT
	}
	var key ed25519.PrivateKey
	var path string
	if err := await.Do(ctx, func() (err error) { // the disk may hang
		if objectstore.IsLocation(r.Path) {
			path, err = r.Path, d.node.CheckLocation(r.Path)
		} else if r.Path != "" {
			path, err = d.allowed().check(r.Path)
		}
		if err != nil {
			return err
		}
		key, err = d.key(r.Key, r.Path != "")
		return err
	}); err != nil {
		return nil, err
	}
	var statement *delegate.Statement
	if r.Delegation != "" {
		var err error
		if statement, err = delegate.Parse([]byte(r.Delegation)); err != nil {
			return nil, err
		}
	}
	cfg := publish.Config{Key: key, KeyName: r.Key, Salt: []byte(r.Salt), Delegation: statement, Path: path, Options: r.Options, WebSeeds: r.WebSeeds,
		Sharing: d.sharing(), Overrule: r.Overrule, Watch: r.Watch, Secret: r.Secret}
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	return d.jobs.start("publish", func(ctx context.Context, j *Job) error {
		cfg.Progress = j.Progress
		pub, err := d.publish(ctx, cfg)
		if err != nil {
			return err
		}
		d.watch(pub)
		j.Report(pub.Outcome())
		return nil
	})
}

// publish publishes under a key and salt that may be published already.
func (d *Daemon) publish(ctx context.Context, cfg publish.Config) (*publish.Publication, error) {
	place := dht.ItemTarget([ed25519.PublicKeySize]byte(cfg.Key.Public().(ed25519.PublicKey)), cfg.Salt)
	for _, p := range d.Publications() {
		if p.Describe().Place == place {
			return p, p.Apply(ctx, cfg)
		}
	}
	return d.publications.publisher.Publish(ctx, cfg)
}

// key returns a key of this machine. If there is none with that name and create is set, it creates
// one.
func (d *Daemon) key(name string, create bool) (ed25519.PrivateKey, error) {
	key, err := d.publications.keys.Key(name)
	var f *node.Fault
	if !create || !errors.As(err, &f) || f.Kind != node.FaultVanished {
		return key, err
	}
	key = keys.New()
	return key, d.publications.keys.Save(name, key)
}

// Rollback starts a job that publishes an earlier version again, under a new number. Its result
// is a publish.Outcome.
func (d *Daemon) Rollback(pub *publish.Publication, version int64, overrule bool) (*Job, error) {
	return d.jobs.start("rollback", func(ctx context.Context, j *Job) error {
		if err := pub.Rollback(ctx, version, overrule); err != nil {
			return err
		}
		j.Report(pub.Outcome())
		return nil
	})
}

// Unpublish ends the publication that name names; see publish.Publication.Remove and publish.Find.
// Without keepHistory, it also deletes the history of one that has ended.
func (d *Daemon) Unpublish(ctx context.Context, name string, keepHistory bool) error {
	pub, err := d.FindPublication(name)
	if errors.Is(err, ErrNoPublication) { // it may be on record
		return await.Do(ctx, func() error { return publish.Unpublish(d.node.StateDir(), name, keepHistory, d.node.Forget) })
	}
	if err != nil {
		return err
	}
	p := &d.publications
	target := pub.Describe().Target
	p.mu.Lock()
	if stop := p.watches[target]; stop != nil {
		stop()
		delete(p.watches, target)
	}
	p.mu.Unlock()
	return await.Do(ctx, func() error { return pub.Remove(keepHistory) })
}

// Holders asks the DHT which nodes hold the item of a publication, and in which version.
func (d *Daemon) Holders(ctx context.Context, target id.ID, salt []byte) (dht.GetReport, error) {
	items, err := d.node.Items()
	if err != nil {
		return dht.GetReport{}, err
	}
	return items.Get(ctx, target, salt, nil)
}

// Key is the public part of a publishing key of this machine.
type Key struct {
	Name   string
	Public ed25519.PublicKey // nil if the key cannot be read
}

// Keys returns the publishing keys of this machine, sorted by name.
func (d *Daemon) Keys() ([]Key, error) {
	names, err := d.publications.keys.List()
	list := make([]Key, 0, len(names))
	for _, name := range names {
		key, e := d.publications.keys.Key(name)
		if e != nil {
			list = append(list, Key{Name: name})
			continue
		}
		list = append(list, Key{name, key.Public().(ed25519.PublicKey)})
	}
	return list, err
}
