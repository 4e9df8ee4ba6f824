// Package publish shares files and folders under keys, so that their links stay the same
// when the content changes (BEP 46).
//
// A Publisher belongs to one node and uses only its exported API. Publish makes a torrent of
// a file or folder, seeds it, signs an item that names it, puts the item into the DHT and
// keeps it alive there. When the files have changed, Update and Watch do the same for the
// next version, which has the next number.
//
// Every publication is recorded in the state directory (record.go). From the record, Restore
// resumes it after a restart, and Config.Rollback publishes an earlier version again.
// Another process can ask the publishing process for a rollback (request.go).
//
// Only one machine at a time should publish under a key. An item that another machine signed
// with the same key is reported as a node.Fault of the kind node.FaultConflict. The node
// emits the events: node.PublishedItem for each version that was put, and node.Warning for
// problems.
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

// Config says what to publish and under which key.
type Config struct {
	Key     ed25519.PrivateKey
	KeyName string // the name of the key on this machine; recorded
	Salt    []byte // distinguishes publications of one key; at most 64 bytes
	Path    string // the file or folder; "": the recorded one
	// Options set how the torrent is made. Nil: the recorded ones, or else a hybrid with the
	// defaults.
	Options *node.ShareOptions
	// WebSeeds are HTTP mirrors of the content, for the link. Nil: the recorded ones.
	WebSeeds []string
	Sharing
	Progress func(done, total int64)
	// Rollback, if not 0, is the number of an earlier version to publish again.
	Rollback int64
	// Overrule continues from a version that another machine has published under the key.
	Overrule bool
}

// Sharing holds the options of node.ShareOptions that are not recorded.
type Sharing struct {
	Omit func(fs.FileInfo) bool
	Warn func(error)
}

func (c *Config) validate() error {
	if c.Options != nil && c.Options.Private {
		return node.NewFault(node.FaultUsage, errors.New("a private torrent is kept out of the DHT, where followers look for it"),
			"publish without --private, or share it with seedbed seed")
	}
	// Refuse what cannot be signed before anything is hashed.
	if _, err := dht.SignItem(c.Key, c.Salt, 1, mutable.Value(&metainfo.Info{})); err != nil {
		return node.NewFault(node.FaultUsage, err, "")
	}
	return nil
}

// errNoDHT reports that the node runs without the DHT.
var errNoDHT = node.NewFault(node.FaultUsage, errors.New("publishing under a key needs the DHT, which is off"), "leave out --no-dht")

// Publisher publishes on one node. All methods are safe for concurrent use.
type Publisher struct {
	node   *node.Node
	items  *node.Items
	ctx    context.Context // ends with Close or the node
	cancel context.CancelFunc
	remove func() // undoes OnClose
	wg     sync.WaitGroup

	torrents torrents

	mu   sync.Mutex
	open map[id.ID]*Publication // by target; nil when the publisher is closed
}

// New returns a publisher for a node. It ends with the node or with Close.
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
}

// within returns a context that ends with ctx or with the publisher.
func (p *Publisher) within(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(p.ctx, cancel)
	return ctx, func() { stop(); cancel() }
}

// Publish publishes a file or folder, as a new version if it has changed since the last
// time. It stays published until Publication.Close.
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
// locked, so that no request is handled first.
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

// configure applies cfg to the record.
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
