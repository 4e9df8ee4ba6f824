// Package daemon runs a node as a service that other programs drive.
//
// A Daemon owns a node and its session: Open restores every torrent, publication and follow
// that the state directory has on record. Its methods are the operations that every interface
// offers: the command line, REST, and the protocols of other clients. They use the node's
// public API and may be called from any goroutine. An operation that waits for the disk takes a
// context, and continues in the background if the context ends first.
//
// Not all torrents of the session run at the same time: the others wait in a queue (queue.go).
//
// A torrent is named by its infohash, by the beginning of it, or by its number. Numbers are
// assigned in the order in which torrents were added, from 1, and are valid until the daemon ends.
//
// Every path that a client names must be in one of the allowed folders (roots.go).
package daemon

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/node"
	"seedbed/node/catalogue"
	"seedbed/node/daemon/hook"
	"seedbed/node/daemon/token"
	"seedbed/node/fleet"
	"seedbed/node/keys"
	"seedbed/node/names"
	"seedbed/node/visit"
	"seedbed/swarm/s3store"
)

// Config configures a Daemon.
type Config struct {
	// Node configures the node, except for its settings.
	Node node.Config
	// Settings are the given settings: those of the command line, the environment and the
	// settings file.
	Settings Settings
	// Resolver is the DNS server for the names of publications, as in names.Config.
	Resolver string
	// Omit reports files that publications leave out, besides those of their options. Nil means
	// none.
	Omit func(fs.FileInfo) bool
	// Idle opens the session only to change it: no torrent, publication or follow runs.
	Idle bool
	// Fleet makes the node one of several that share an object store; nil: none. Open sets its Node, Store, Version and Log.
	Fleet *fleet.Config
	// Log receives the log messages; nil disables logging.
	Log *slog.Logger
}

// A Daemon is a running service.
type Daemon struct {
	node         *node.Node
	fleet        *fleet.Fleet // nil if there is none
	isIdle       bool
	givenPort    uint16 // the port of the node's Config
	control      control
	categories   categories
	hooks        *hook.Runner
	webSeeds     *s3store.WebSeeds // of the object store; nil without one
	version      string
	numbers      *numbers
	queue        *queue
	following    sync.WaitGroup // for the goroutines that end with the node
	spaces       spaces
	tokens       *token.Store
	publications publications
	catalogue    atomic.Pointer[catalogue.Catalogue] // nil until it is open, and without an object store
	names        *names.Names
	visit        visit.Config // for DHT queries with sockets of their own
	jobs         jobs
	inspections  inspections
	torrentLog   torrentLog
	log          *slog.Logger
}

// Open opens the node and restores its session. Publications and follows are opened and resumed after it
// has returned, because that may take long. It returns node.ErrNoSession if another process
// runs the session, and node.ErrUnreadable if its file cannot be read. A torrent, publication or follow that cannot be restored is a warning in
// the node's events and in the log; the others run.
func Open(ctx context.Context, cfg Config) (_ *Daemon, err error) {
	d := &Daemon{isIdle: cfg.Idle, log: cfg.Log}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	cfg.Node.Settings, cfg.Node.Held = cfg.Settings.ofNode(), true
	if d.node, err = node.Open(cfg.Node); err != nil {
		return nil, err
	}
	d.version = cfg.Node.Version
	d.names = names.New(names.Config{Resolver: cfg.Resolver, Outbound: d.node.Outbound(), State: cfg.Node.State})
	d.hooks = hook.New(hook.Config{Agent: d.version, Outbound: d.node.Outbound(), Log: d.log, Warn: func(err error) { d.warn("a hook failed", err) }})
	d.queue, d.numbers = newQueue(d.node, cfg.Settings.Queue), newNumbers(d.node)
	defer func() {
		if err != nil {
			err = errors.Join(err, d.Close(context.WithoutCancel(ctx)))
		}
	}()
	if o := d.node.Objects(); o != nil {
		d.webSeeds = s3store.NewWebSeeds(o.Store, func(err error) { d.node.Emit(node.Event{Kind: node.Warning, Err: err}) })
	}
	if cfg.Fleet != nil { // before the torrents, most of which others announce
		f := *cfg.Fleet
		f.Node, f.Log, f.Version, f.IsLoaded = d.node, d.log, d.version, d.isCatalogueLoaded
		if o := d.node.Objects(); o != nil {
			f.Store = o.Store.Location().String()
		}
		if d.fleet, err = fleet.Open(f); err != nil {
			return nil, err
		}
	}
	if err := d.openSettings(cfg.Settings, cfg.Node.State); err != nil {
		return nil, err
	}
	if err := d.categories.open(cfg.Node.State); err != nil {
		return nil, err
	}
	d.jobs.ctx, d.jobs.last, d.visit = d.node.Context(), time.Now().UnixMilli(), visitConfig(&cfg.Node)
	d.visit.Node = d.node
	d.publications.keys, d.publications.omit = keys.Open(cfg.Node.State), cfg.Omit
	if err := d.restore(ctx); err != nil {
		return nil, err
	}
	if d.tokens, err = token.Open(filepath.Join(cfg.Node.State, "tokens")); err != nil {
		return nil, err
	}
	return d, nil
}

// restore restores the session. Only the loss of the whole session is an error.
func (d *Daemon) restore(ctx context.Context) (err error) {
	var events *node.Subscription
	if !d.isIdle {
		events = d.node.Subscribe(slices.Concat(followed, hookEvents)...)
	}
	err = d.node.Restore(ctx)
	if errors.Is(err, node.ErrNoSession) || errors.Is(err, node.ErrUnreadable) || ctx.Err() != nil {
		return errors.Join(err, ctx.Err())
	}
	d.warn("a torrent was not restored", err)
	for _, t := range d.node.Torrents() {
		d.numbers.of(t.InfoHash())
	}
	if d.isIdle {
		return nil
	}
	log := d.node.Subscribe(logged...) // not of the torrents that were restored
	d.following.Go(func() { d.logEvents(log) })
	d.queue.begin()
	d.following.Go(func() { d.follow(events) })
	d.following.Go(d.runSchedule)
	d.following.Go(d.runWatches)
	d.following.Go(d.runFeeds)
	d.following.Go(d.watchNames)
	if err := d.openCatalogue(); err != nil {
		return err
	}
	return d.openPublications()
}

// followed are the events for the queue and the numbers.
var followed = []node.EventKind{node.Added, node.Changed, node.Metadata, node.Complete, node.Removed}

// follow keeps the queue and the numbers up to date and runs the hooks, until the node ends.
func (d *Daemon) follow(events *node.Subscription) {
	tick := time.NewTicker(stalledEvery)
	defer tick.Stop()
	for {
		select {
		case _, open := <-events.Ready():
			if !open {
				return
			}
			list := events.Take()
			d.queue.handle(list)
			d.numbers.handle(list)
			d.runHooks(list)
		case <-tick.C:
			d.queue.findStalled(time.Now())
		}
	}
}

// warn reports each of the errors that err joins.
func (d *Daemon) warn(what string, err error) {
	if err == nil {
		return
	}
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		for _, e := range many.Unwrap() {
			d.warn(what, e)
		}
		return
	}
	d.log.Warn(what, "err", err)
	d.node.Emit(node.Event{Kind: node.Warning, Err: fmt.Errorf("%s: %w", what, err)})
}

// Close saves everything and closes the node; see node.Node.Close.
func (d *Daemon) Close(ctx context.Context) error {
	err := d.node.Close(ctx)
	if err == nil || ctx.Err() == nil { // otherwise a disk may hang
		d.following.Wait()
		d.jobs.wg.Wait()
		if c := d.catalogue.Load(); c != nil {
			err = errors.Join(err, c.Close())
		}
		d.publications.watching.Wait()
	}
	d.hooks.Close()
	if d.tokens != nil {
		err = errors.Join(err, d.tokens.Close())
	}
	if d.control.file != nil {
		err = errors.Join(err, d.control.file.close())
	}
	return err
}

// Saved counts saving steps; see node.Node.Saved.
func (d *Daemon) Saved() int64 { return d.node.Saved() }

// Node returns the node, for what this package has no operation for: torrents, events, the DHT.
func (d *Daemon) Node() *node.Node { return d.node }

// ErrNoFleet is returned if the daemon is no node of a fleet.
var ErrNoFleet = node.NewFault(node.FaultUsage, errors.New("this daemon is no node of a fleet"), "start it with --fleet HOST:PORT")

// Fleet returns the daemon's membership in a fleet, or ErrNoFleet.
func (d *Daemon) Fleet() (*fleet.Fleet, error) {
	if d.fleet == nil {
		return nil, ErrNoFleet
	}
	return d.fleet, nil
}

// Tokens returns the tokens that give access to the HTTP interfaces.
func (d *Daemon) Tokens() *token.Store { return d.tokens }

// Dir returns the download folder of torrents for which the client names none.
func (d *Daemon) Dir() string { return d.control.now.Load().Dir }
