// Package publish shares files and folders under keys, so that their links stay the same
// when the content changes (BEP 46).
//
// A Publisher belongs to one node and uses its exported API alone. Publish makes a
// torrent of a file or folder, seeds it, signs an item that names it, puts the item into
// the DHT and keeps it alive there. Update, or Watch, does the same again when the files
// have changed: the next version has the next number.
//
// What was published is on record in the state directory (record.go), so that Restore
// takes it up again after a restart, and Config.Rollback can publish an earlier version
// again. Another process asks the one that publishes to do that (request.go).
//
// A publication is made by one machine at a time. What another machine has signed with
// the same key is noticed and reported as a node.Fault of the kind node.FaultConflict.
// Events are emitted by the node: node.PublishedItem for each version that was put, and
// node.Warning for what a person should know.
package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"io/fs"
	"path/filepath"
	"sync"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

// Config says what to publish under a key.
type Config struct {
	Key     ed25519.PrivateKey
	KeyName string // the name of the key on this machine, for the record
	Salt    []byte // tells apart what one key publishes; at most 64 bytes
	Path    string // the file or folder; "": the one on record
	// Options decide what the torrent is. Nil: those on record, or a plain hybrid.
	Options *node.ShareOptions
	// WebSeeds are HTTP mirrors of the content, for the link. Nil: those on record.
	WebSeeds []string
	Sharing
	Progress func(done, total int64)
	// Rollback, if not 0, is the number of an earlier version to publish again.
	Rollback int64
	// Overrule continues from a version that another machine has put under the key.
	Overrule bool
}

// Sharing are those of node.ShareOptions that are not on record.
type Sharing struct {
	Omit func(fs.FileInfo) bool
	Warn func(error)
}

func (c *Config) validate() error {
	if c.Options != nil && c.Options.Private {
		return node.NewFault(node.FaultUsage, errors.New("a private torrent is kept out of the DHT, where followers look for it"),
			"publish without --private, or share it with seedbed seed")
	}
	// What cannot be signed is refused before anything is hashed.
	if _, err := dht.SignItem(c.Key, c.Salt, 1, mutable.Value(&metainfo.Info{})); err != nil {
		return node.NewFault(node.FaultUsage, err, "")
	}
	return nil
}

// errNoDHT says that the node has no DHT to publish in.
var errNoDHT = node.NewFault(node.FaultUsage, errors.New("publishing under a key needs the DHT, which is off"), "leave out --no-dht")

// Publisher publishes on one node. Its methods may be called from any goroutine.
type Publisher struct {
	node   *node.Node
	items  *node.Items
	ctx    context.Context // ends with Close or the node
	cancel context.CancelFunc
	remove func() // takes back OnClose
	wg     sync.WaitGroup

	torrents torrents

	mu   sync.Mutex
	open map[id.ID]*Publication // by target; nil when the publisher is closed
}

// New returns a publisher of a node. It ends with the node, or with Close.
func New(n *node.Node) (*Publisher, error) {
	items, err := n.Items()
	if errors.Is(err, node.ErrNoDHT) {
		return nil, errNoDHT
	}
	if err != nil {
		return nil, err
	}
	p := &Publisher{node: n, items: items, open: map[id.ID]*Publication{}}
	p.ctx, p.cancel = context.WithCancel(n.Context())
	p.torrents.init(n, p.ctx)
	p.wg.Go(p.serveRequests)
	if p.remove, err = n.OnClose(p.end); err != nil {
		p.cancel()
		p.wg.Wait()
		return nil, err
	}
	return p, nil
}

// Close closes all publications. Their torrents go on until the node ends.
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
}

// within returns a context that ends with ctx or with the publisher.
func (p *Publisher) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// Publish publishes a file or folder, as a new version if it has changed since the last
// time. The publication is kept up until its Close.
func (p *Publisher) Publish(ctx context.Context, cfg Config) (_ *Publication, err error) {
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	ctx, cancel := p.within(ctx)
	defer cancel()
	pub, err := p.openPublication(&cfg)
	if err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			pub.Close() // after making is unlocked
		}
	}()
	defer pub.making.Unlock()
	if err := pub.configure(&cfg); err != nil {
		return nil, err
	}
	defer func() { pub.options.Progress = nil }()
	r := &pub.folder.file
	switch {
	case cfg.Rollback != 0:
		err = pub.rollback(ctx, cfg.Rollback, cfg.Overrule)
	case cfg.Path == "" && r.RolledBack && r.last() != nil:
		err = pub.rollback(ctx, r.last().Seq, cfg.Overrule) // until the folder is published again
	default:
		_, err = pub.update(ctx, cfg.Overrule)
	}
	if err != nil {
		return nil, err
	}
	return pub, nil
}

// openPublication locks the publication in the state directory. It returns with making
// locked, so that no request comes first.
func (p *Publisher) openPublication(cfg *Config) (*Publication, error) {
	public := [ed25519.PublicKeySize]byte(cfg.Key.Public().(ed25519.PublicKey))
	target := dht.ItemTarget(public, cfg.Salt)
	f, err := openFolder(p.node.StateDir(), target)
	if err != nil {
		return nil, err
	}
	f.file.Key, f.file.Salt = id.ID32(public).String(), cfg.Salt
	pub := &Publication{publisher: p, key: cfg.Key, target: target, folder: f}
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.open == nil {
		return nil, errors.Join(node.ErrClosed, f.close())
	}
	pub.making.Lock()
	p.open[target] = pub
	return pub, nil
}

// configure puts what cfg says into the record.
func (p *Publication) configure(cfg *Config) (err error) {
	r := &p.folder.file
	if cfg.KeyName != "" {
		r.KeyName = cfg.KeyName
	}
	if cfg.Path != "" {
		if r.Path, err = filepath.Abs(cfg.Path); err != nil {
			return err
		}
	}
	switch {
	case cfg.Options != nil:
		r.Options = optionsOf(*cfg.Options)
	case len(r.Versions) == 0:
		r.Options = options{Format: metainfo.Hybrid}
	}
	if r.Path == "" {
		return node.NewFault(node.FaultUsage, errors.New("nothing was published under this key yet"), "name the file or folder to publish")
	}
	if cfg.WebSeeds != nil {
		r.WebSeeds = cfg.WebSeeds
	}
	p.options = r.Options.share()
	p.options.Omit, p.options.Warn, p.options.Progress = cfg.Omit, cfg.Warn, cfg.Progress
	return nil
}
