package node

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"seedbed/dht/bootnode"
	"seedbed/dht/bootstrap"
	"seedbed/internal/netx"
	"seedbed/internal/statefile"
)

// BootstrapConfig is what a public entry point to the DHT can be told. The zero
// value of each field means its default.
type BootstrapConfig struct {
	// State is the state directory, where the ring of nodes is kept between
	// runs. It is made when missing. Required.
	State string

	// Listen are HOST:PORT addresses for UDP; by default DefaultPort of every
	// address of both families.
	Listen []string

	// VerifyAfter is how long after its first query a node is pinged, and told
	// to others if it answers; 15 minutes by default. It is shorter while few
	// nodes are known.
	VerifyAfter time.Duration

	// Log receives what is worth a line; nil is silence.
	Log *slog.Logger
}

// Bootstrap is a running entry point: it tells newcomers of nodes and keeps
// neither torrents nor peers.
//
// Its part of the state directory is bootstrap.ring, and bootstrap.lock that
// the process holds.
type Bootstrap struct {
	srv   *bootnode.Server
	addrs []netip.AddrPort
	path  string
	lock  *statefile.Lock
	log   *slog.Logger

	stop    context.CancelFunc
	saving  sync.WaitGroup
	closing sync.Once
	closed  error
}

// OpenBootstrap starts an entry point.
func OpenBootstrap(cfg BootstrapConfig) (b *Bootstrap, err error) {
	if cfg.State == "" {
		return nil, errors.New("no state directory given")
	}
	if cfg.VerifyAfter < 0 || cfg.VerifyAfter > 24*time.Hour {
		return nil, fmt.Errorf("nodes cannot be verified %v after their first query: give a time from 1ns to 24h", cfg.VerifyAfter)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := statefile.MkdirAll(cfg.State); err != nil {
		return nil, stateFault("created", err)
	}
	lock, err := statefile.TryLock(filepath.Join(cfg.State, "bootstrap.lock"))
	switch {
	case errors.Is(err, statefile.ErrLocked):
		return nil, errBootstrapLocked
	case err != nil:
		return nil, stateFault("locked", err)
	}
	defer func() {
		if err != nil {
			lock.Release()
		}
	}()
	statefile.Sweep(cfg.State)
	b = &Bootstrap{path: filepath.Join(cfg.State, "bootstrap.ring"), lock: lock, log: cfg.Log}
	conns, err := netx.OpenUDP(netx.UDPConfig{Listen: cfg.Listen, DefaultPort: DefaultPort, Logger: cfg.Log})
	if err != nil {
		return nil, networkFault(err)
	}
	for _, c := range conns {
		if a := c.LocalAddr(); !slices.Contains(b.addrs, a) {
			b.addrs = append(b.addrs, a)
		}
	}
	b.srv, err = bootnode.New(bootnode.Config{Conns: conns, Saved: b.load(), VerifyAfter: cfg.VerifyAfter, Logger: cfg.Log})
	if err != nil {
		for _, c := range conns {
			c.Close()
		}
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	b.stop = stop
	b.saving.Go(func() { b.keepSaved(ctx) })
	return b, nil
}

// errBootstrapLocked is an ErrLocked.
var errBootstrapLocked error = bootstrapLocked{}

type bootstrapLocked struct{}

func (bootstrapLocked) Error() string {
	return "another seedbed bootstrap with the same state directory is running"
}
func (bootstrapLocked) Unwrap() error { return ErrLocked }

// load is what the last run left. Without it, or if it is damaged, the ring
// begins empty: it fills by itself.
func (b *Bootstrap) load() bootstrap.State {
	raw, err := statefile.Read(b.path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			b.log.Warn("the saved nodes cannot be read; beginning with none", "err", err)
		}
		return bootstrap.State{}
	}
	st, err := bootstrap.ParseState(raw)
	if err != nil {
		b.log.Warn("the saved nodes cannot be used; beginning with none", "file", b.path, "err", err)
	}
	return st
}

func (b *Bootstrap) keepSaved(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := b.save(); err != nil {
				b.log.Warn("the nodes could not be saved", "err", err)
			}
		}
	}
}

func (b *Bootstrap) save() error {
	st := b.srv.State()
	if err := statefile.Write(b.path, st.Append(nil)); err != nil {
		return fmt.Errorf("the known nodes cannot be saved: %w", err)
	}
	return nil
}

// Addrs are the addresses that it listens on.
func (b *Bootstrap) Addrs() []netip.AddrPort { return b.addrs }

// Stats is its state now.
func (b *Bootstrap) Stats() bootnode.Stats { return b.srv.Stats() }

// Close saves the nodes and ends.
func (b *Bootstrap) Close() error {
	b.closing.Do(func() {
		b.stop()
		b.saving.Wait()
		b.closed = errors.Join(b.save(), b.srv.Close(), b.lock.Release())
	})
	return b.closed
}
