package bootnode

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

	"seedbed/dht/bootstrap"
	"seedbed/internal/netx"
	"seedbed/internal/statefile"
)

// DefaultPort is the UDP port on which a bootstrap node listens by default.
const DefaultPort = 6881

// NodeConfig configures a bootstrap node. The zero value of each field means its default.
type NodeConfig struct {
	// State is the state directory, which keeps the ring of nodes between runs. It is
	// created if it does not exist. Required.
	State string

	// Listen are HOST:PORT addresses for UDP; by default DefaultPort of every
	// address of both families.
	Listen []string

	// VerifyAfter is the time after its first query at which a node is pinged. A node that
	// answers is returned to other nodes. 15 minutes by default, and less while few nodes
	// are known.
	VerifyAfter time.Duration

	// Outbound may bind the sockets to a network interface, for which the node waits. Changed, if not nil, is
	// called when the interface appears or disappears, as in netx.Config.
	Outbound netx.Outbound
	Changed  func(error)

	// Log receives log messages; nil discards them.
	Log *slog.Logger
}

// Node is a Server with its own sockets, which saves its ring. Its files are bootstrap.ring
// and bootstrap.lock in the state directory.
type Node struct {
	*Server
	addrs []netip.AddrPort
	path  string
	lock  *statefile.Lock
	log   *slog.Logger

	stop    context.CancelFunc
	saving  sync.WaitGroup
	closing sync.Once
	closed  error
}

// saveEvery is the interval at which the ring is saved. A crash loses the changes since the
// last save.
const saveEvery = 5 * time.Minute

// Open starts a bootstrap node. If another process runs one with the same state
// directory, the error wraps statefile.ErrLocked.
func Open(cfg NodeConfig) (n *Node, err error) {
	if cfg.State == "" {
		return nil, errors.New("no state directory given")
	}
	if cfg.VerifyAfter < 0 || cfg.VerifyAfter > 24*time.Hour {
		return nil, fmt.Errorf("nodes cannot be verified %v after their first query; give a time of at most 24h", cfg.VerifyAfter)
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := statefile.MkdirAll(cfg.State); err != nil {
		return nil, stateError("created", err)
	}
	lock, err := statefile.TryLock(filepath.Join(cfg.State, "bootstrap.lock"))
	switch {
	case errors.Is(err, statefile.ErrLocked):
		return nil, errRunning
	case err != nil:
		return nil, stateError("locked", err)
	}
	defer func() {
		if err != nil {
			lock.Release()
		}
	}()
	statefile.Sweep(cfg.State)
	n = &Node{path: filepath.Join(cfg.State, "bootstrap.ring"), lock: lock, log: cfg.Log}
	if err := n.listen(&cfg); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	n.stop = stop
	n.saving.Go(func() { n.keepSaved(ctx) })
	return n, nil
}

func (n *Node) listen(cfg *NodeConfig) error {
	conns, err := netx.OpenUDP(netx.UDPConfig{Listen: cfg.Listen, DefaultPort: DefaultPort, Outbound: cfg.Outbound, Changed: cfg.Changed, Logger: cfg.Log})
	if err != nil {
		return err
	}
	for _, c := range conns {
		if a := c.LocalAddr(); !slices.Contains(n.addrs, a) {
			n.addrs = append(n.addrs, a)
		}
	}
	n.Server, err = New(Config{Conns: conns, Saved: n.load(), VerifyAfter: cfg.VerifyAfter, Logger: cfg.Log})
	if err != nil {
		for _, c := range conns {
			c.Close()
		}
	}
	return err
}

func stateError(verb string, err error) error {
	var special *statefile.NotRegularError
	if errors.As(err, &special) { // its text says what to do
		return fmt.Errorf("the state directory cannot be %s: %w", verb, err)
	}
	return fmt.Errorf("the state directory cannot be %s: %w; choose another with --state", verb, err)
}

// errRunning wraps statefile.ErrLocked.
var errRunning error = runningError{}

type runningError struct{}

func (runningError) Error() string {
	return "another seedbed bootstrap process is using this state directory"
}
func (runningError) Unwrap() error { return statefile.ErrLocked }

// load reads the ring of the last run. If the file is missing or damaged, it returns an
// empty state.
func (n *Node) load() bootstrap.State {
	raw, err := statefile.Read(n.path)
	if err != nil {
		if !errors.Is(err, fs.ErrNotExist) {
			n.log.Warn("cannot read the saved nodes; starting without any", "err", err)
		}
		return bootstrap.State{}
	}
	st, err := bootstrap.ParseState(raw)
	if err != nil {
		n.log.Warn("cannot use the saved nodes; starting without any", "file", n.path, "err", err)
	}
	return st
}

// keepSaved saves the ring every saveEvery until ctx is done.
func (n *Node) keepSaved(ctx context.Context) {
	tick := time.NewTicker(saveEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if err := n.Save(); err != nil {
				n.log.Warn("cannot save the known nodes", "err", err)
			}
		}
	}
}

// Save saves the ring now. The Node also saves it every few minutes and in Close.
func (n *Node) Save() error {
	st := n.Server.State()
	if err := statefile.Write(n.path, st.Append(nil)); err != nil {
		return fmt.Errorf("cannot save the known nodes: %w", err)
	}
	return nil
}

// Addrs returns the addresses that the node listens on.
func (n *Node) Addrs() []netip.AddrPort { return n.addrs }

// Close saves the ring and ends the node.
func (n *Node) Close() error {
	n.closing.Do(func() {
		n.stop()
		n.saving.Wait()
		n.closed = errors.Join(n.Save(), n.Server.Close(), n.lock.Release())
	})
	return n.closed
}
