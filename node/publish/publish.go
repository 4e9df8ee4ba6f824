// Package publish shares files and folders under keys, so that their links stay the same
// when the content changes (BEP 46).
//
// A Publisher belongs to one node and uses only its exported API. Publish makes a torrent
// of a file or folder and seeds it. It also signs an item with the infohash, puts it into
// the DHT and republishes it there, and pushes it to the connected followers. When the files have changed, Update and Watch do the
// same for the next version, which has the next number.
//
// Every publication is recorded in the state directory (record.go). From the record, Restore
// resumes it after a restart, and Config.Rollback publishes an earlier version again.
// Another process can ask the publishing process for a rollback (request.go).
//
// Several machines can publish under a key if their nodes have the same object store (fence.go). Otherwise only one
// machine at a time should. An item that another machine signed with the same key, past the object store, is
// reported as a node.Fault of the kind node.FaultConflict.
// Events are emitted by the node: node.PublishedItem for each version that was put, and
// node.Warning for problems.
package publish

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"maps"
	"slices"
	"sync"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
	"seedbed/node"
	"seedbed/node/delegate"
)

// DefaultFormat is the format of publications. With its v2 hashes, an update reads only the
// files that changed. Its v1 hashes let most other clients open a single version.
const DefaultFormat = metainfo.Hybrid

// Config says what to publish and under which key.
type Config struct {
	Key     ed25519.PrivateKey
	KeyName string // the name of the key on this machine; recorded
	Salt    []byte // distinguishes publications of one key; at most 64 bytes
	// Delegation publishes under the link of another key, whose owner has signed it. It is
	// recorded, and needed again only when the owner has renewed it.
	Delegation *delegate.Statement
	// Secret makes the publication a private one (docs/privacy.md); recorded. It cannot be set for
	// one that is public.
	Secret bool
	// Path is the file or folder, or a place in the object store of the node, as in s3://BUCKET/PREFIX: see node.MakeObjects. ""
	// stands for the recorded one.
	Path string
	// Options say how to make the torrent. If nil, the recorded options are used, or else
	// the defaults with a hybrid torrent.
	Options *node.ShareOptions
	// WebSeeds has the HTTP mirrors of the content to put into the link. If nil, the
	// recorded ones are used. A store whose objects everybody can read is one too, unless WebSeeds is empty and not nil.
	WebSeeds []string
	Sharing  // for objects, only Warn is used
	Progress func(done, total int64)
	// Rollback, if not 0, is the number of an earlier version to publish again.
	Rollback int64
	// Overrule continues from a version that another machine has published under the key.
	Overrule bool
	// Watch, if not 0, is the interval at which the path is to be watched; recorded for the
	// next run together with a Path. The caller calls Publication.Watch.
	Watch time.Duration
}

// Sharing has the options of node.ShareOptions that are not recorded.
type Sharing struct {
	Omit func(fs.FileInfo) bool
	Warn func(error)
}

// Validate returns an error if nothing can be published with c. Publish calls it; a caller
// can, before it opens a node.
func (c *Config) Validate() error {
	if c.Options != nil && c.Options.Private {
		return node.NewFault(node.FaultUsage, errors.New("a private torrent is not announced in the DHT, where followers look for it"),
			"publish without --private, or share it with seedbed seed")
	}
	if c.Secret && len(c.WebSeeds) > 0 {
		return node.NewFault(node.FaultUsage, errors.New("a private publication has no HTTP mirrors: they would have to serve its files unencrypted"), "leave out --web-seed or --secret")
	}
	if objectstore.IsLocation(c.Path) {
		if _, err := objectstore.ParseLocation(c.Path); err != nil {
			return node.NewFault(node.FaultUsage, err, "")
		}
		if c.Secret {
			return errPrivateObjects
		}
	}
	if err := c.checkDelegation(); err != nil {
		return err
	}
	// Report errors of signing before anything is hashed.
	if _, err := dht.SignItem(c.Key, c.Salt, 1, new(mutable.Version).Value()); err != nil {
		return node.NewFault(node.FaultUsage, err, "")
	}
	return nil
}

// ErrNoDHT reports that the node runs without the DHT.
var ErrNoDHT = node.NewFault(node.FaultUsage, errors.New("publishing under a key needs the DHT, which is off"), "start without --no-dht")

// ErrNoPath reports that a Config has no Path and none is recorded.
var ErrNoPath = node.NewFault(node.FaultUsage, errors.New("nothing has been published under this key yet"), "give the file or folder to publish")

// Publisher publishes on one node. All methods are safe for concurrent use.
type Publisher struct {
	node   *node.Node
	items  *node.Items
	ctx    context.Context // ends with Close or with the node
	cancel context.CancelFunc
	remove func() // undoes OnClose
	wg     sync.WaitGroup

	torrents torrents
	fence    *fence // nil if the node has no object store

	mu   sync.Mutex
	open map[id.ID]*Publication // by place; nil when the publisher is closed
}

// New returns a publisher for a node. It runs until Close, or until the node closes.
func New(n *node.Node) (*Publisher, error) {
	items, err := n.Items()
	if errors.Is(err, node.ErrNoDHT) {
		return nil, ErrNoDHT
	}
	if err != nil {
		return nil, err
	}
	p := &Publisher{node: n, items: items, open: map[id.ID]*Publication{}}
	if p.fence, err = newFence(n); err != nil {
		return nil, err
	}
	p.ctx, p.cancel = context.WithCancel(n.Context())
	p.torrents.init(n, p.ctx)
	p.wg.Go(p.serveRequests)
	if p.fence != nil {
		p.wg.Go(p.keepOthers)
	}
	if p.remove, err = n.OnClose(p.end); err != nil {
		p.cancel()
		p.wg.Wait()
		return nil, err
	}
	return p, nil
}

// Close closes all publications. Their torrents keep running until the node closes.
func (p *Publisher) Close() {
	p.remove()
	p.end()
}

func (p *Publisher) end() {
	p.cancel()
	p.mu.Lock()
	open := p.open
	p.open = nil
	p.mu.Unlock()
	for _, pub := range open {
		pub.Close()
	}
	p.wg.Wait()
	p.torrents.wait()
	p.fence.close()
}

// either returns a context that ends with ctx or with other.
func either(ctx, other context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(other, cancel)
	return ctx, func() { stop(); cancel() }
}

// Publish publishes a file or folder. If its content has changed since the last time, that
// is a new version. It stays published until Publication.Close. A publication that has ended
// with its history kept is continued.
func (p *Publisher) Publish(ctx context.Context, cfg Config) (_ *Publication, err error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	pub, err := p.openPublication(&cfg)
	if err != nil {
		return nil, err
	}
	if err := pub.begin(ctx, &cfg); err != nil {
		return nil, err
	}
	return pub, nil
}

// begin is apply for a publication that openPublication has returned. It unlocks making. After an error the publication is
// closed; the error is node.ErrClosed if that was done meanwhile by Close or Remove.
func (p *Publication) begin(ctx context.Context, cfg *Config) error {
	ctx, cancel := either(ctx, p.ctx)
	defer cancel()
	err := p.apply(ctx, cfg)
	p.making.Unlock()
	switch {
	case err != nil && p.isEnding():
		return node.ErrClosed
	case err != nil:
		p.Close()
	}
	return err
}

// Apply is Publish for a publication that is open: it publishes with the changed options, and the
// key, the salt and the key's name stay.
func (p *Publication) Apply(ctx context.Context, cfg Config) error {
	cfg.Key, cfg.Salt, cfg.KeyName = p.user, p.salt(), ""
	if err := cfg.Validate(); err != nil {
		return err
	}
	return p.exclusively(ctx, func(ctx context.Context) error { return p.apply(ctx, &cfg) })
}

// apply configures the publication and makes its next version; the caller holds making.
func (p *Publication) apply(ctx context.Context, cfg *Config) (err error) {
	if err := p.configure(cfg); err != nil {
		return err
	}
	defer func() { p.options.Progress, p.isResumed = nil, false }()
	p.isResumed = cfg.Path == "" && cfg.Options == nil && cfg.Rollback == 0
	r := &p.folder.file
	switch {
	case cfg.Rollback != 0:
		return p.rollback(ctx, cfg.Rollback, cfg.Overrule)
	case cfg.Path == "" && r.RolledBack:
		// Keep the rollback until the user publishes the path again. If another publisher has published since then, that stays.
		if own := r.lastOwn(); own != nil && (p.isResumed || own == r.last()) {
			return p.rollback(ctx, own.Seq, cfg.Overrule)
		}
	}
	_, err = p.update(ctx, cfg.Overrule)
	return err
}

// Open returns the publications that are open, sorted by key name and salt.
func (p *Publisher) Open() []*Publication {
	p.mu.Lock()
	list := slices.Collect(maps.Values(p.open))
	p.mu.Unlock()
	slices.SortFunc(list, func(a, b *Publication) int {
		x, y := a.Describe(), b.Describe()
		return cmp.Or(cmp.Compare(x.KeyName, y.KeyName), cmp.Compare(x.Salt, y.Salt))
	})
	return list
}

// Len returns the number of open publications.
func (p *Publisher) Len() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.open)
}

// openPublication locks the publication in the state directory. It returns with making
// locked, so that no request is handled before the caller is done.
func (p *Publisher) openPublication(cfg *Config) (*Publication, error) {
	public := [ed25519.PublicKeySize]byte(cfg.Key.Public().(ed25519.PublicKey))
	place := dht.ItemTarget(public, cfg.Salt)
	f, err := openFolder(p.node.StateDir(), place)
	if err != nil {
		return nil, err
	}
	f.file.Key, f.file.Salt = id.ID32(public).String(), cfg.Salt
	pub := &Publication{publisher: p, user: cfg.Key, place: place, folder: f, making: newTurn()}
	secret, err := f.file.secret()
	if err != nil {
		return nil, errors.Join(err, f.close())
	}
	pub.identify(secret)
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		return nil, errors.Join(node.ErrClosed, f.close())
	}
	pub.ctx, pub.cancel = context.WithCancel(p.ctx)
	pub.subscribe()
	pub.making.Lock()
	p.open[place] = pub
	return pub, nil
}

// configure applies cfg to the record and to p.options.
func (p *Publication) configure(cfg *Config) (err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	r := &p.folder.file
	if cfg.Secret && p.secret.IsZero() {
		if err := p.makeSecret(); err != nil {
			return err
		}
	}
	if !p.secret.IsZero() && (len(cfg.WebSeeds) > 0 || cfg.Options != nil && cfg.Options.Source != "") {
		return errPrivateOptions
	}
	if !p.secret.IsZero() && objectstore.IsLocation(cfg.Path) {
		return errPrivateObjects
	}
	r.Ended = false
	if cfg.KeyName != "" {
		r.KeyName = cfg.KeyName
	}
	if cfg.Delegation != nil {
		joined, err := p.setDelegation(cfg.Delegation)
		if err != nil {
			return err
		}
		cfg.Overrule = cfg.Overrule || joined // the first version here comes after those that exist
	}
	if cfg.Path != "" {
		if r.Path, err = absolute(cfg.Path); err != nil {
			return err
		}
		r.Watch, p.storeSeeds = cfg.Watch, nil
		if !objectstore.IsLocation(r.Path) {
			r.StoreSeed = ""
		}
	}
	switch {
	case cfg.Options != nil:
		r.Options = optionsOf(*cfg.Options)
	case len(r.Versions) == 0:
		r.Options = options{Format: DefaultFormat}
	}
	if r.Path == "" {
		return ErrNoPath
	}
	if cfg.WebSeeds != nil {
		r.WebSeeds, r.NoStoreSeed = cfg.WebSeeds, len(cfg.WebSeeds) == 0
	}
	p.options = r.Options.share()
	p.options.Omit, p.options.Warn, p.options.Progress = cfg.Omit, cfg.Warn, cfg.Progress
	return nil
}
