package portmap

import (
	"context"
	"log/slog"
	"slices"
	"sync"
	"time"
)

const (
	// watchEvery is how often the interfaces are read. A change of network is noticed within it.
	watchEvery = 5 * time.Second
	// removeTimeout bounds the removal of the mappings at the end.
	removeTimeout = 2 * time.Second
)

// Mapper keeps the port of a node mapped. Its methods may be called from any goroutine.
type Mapper struct {
	cfg    Config
	log    *slog.Logger
	cancel context.CancelFunc
	done   chan struct{}
	look   chan struct{} // signals run to read the interfaces; capacity 1

	mu      sync.Mutex
	port    uint16
	workers []*worker // in the order of the targets
}

// Start starts a Mapper. It returns at once; Config.Changed reports the results.
func Start(cfg Config) *Mapper {
	if cfg.Methods == nil {
		cfg.Methods = Methods()
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.system == nil {
		cfg.system = machine{cfg.Control}
	}
	ctx, cancel := context.WithCancel(context.Background())
	m := &Mapper{cfg: cfg, log: cfg.Logger, cancel: cancel, done: make(chan struct{}), look: make(chan struct{}, 1)}
	if len(cfg.Listen) > 0 {
		m.port = cfg.Listen[0].Port()
	}
	go m.run(ctx)
	return m
}

// run starts a worker for each target, and ends those whose target disappeared.
func (m *Mapper) run(ctx context.Context) {
	defer close(m.done)
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var ended sync.WaitGroup
	defer ended.Wait()
	for {
		m.update(ctx, m.targets(), &ended)
		select {
		case <-ctx.Done():
			return
		case <-m.look:
		case <-tick.C:
		}
	}
}

// Renew maps the port again at once. Call it after a change of the network. A router that has lost
// its mappings need not announce it, and what polls it would show that only later.
func (m *Mapper) Renew() {
	signal(m.look)
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.workers {
		w.hurry()
	}
}

// signal sends on a channel of capacity 1 without blocking.
func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func (m *Mapper) targets() []target {
	links, err := m.cfg.system.links()
	if err != nil {
		m.log.Debug("cannot read the network interfaces", "err", err)
		return nil
	}
	if m.cfg.Interface != "" {
		links = slices.DeleteFunc(links, func(l link) bool { return l.name != m.cfg.Interface })
	}
	if m.cfg.Gateway.IsValid() {
		return givenTarget(links, m.cfg.system.source(m.cfg.Gateway), m.cfg.Gateway, m.cfg.Listen)
	}
	return targetsOf(links, m.cfg.Listen)
}

// update makes the workers those of ts.
func (m *Mapper) update(ctx context.Context, ts []target, ended *sync.WaitGroup) {
	m.mu.Lock()
	var workers []*worker
	for _, t := range ts {
		i := slices.IndexFunc(m.workers, func(w *worker) bool { return w.target == t })
		if i >= 0 {
			workers = append(workers, m.workers[i])
			continue
		}
		w := newWorker(ctx, m, t)
		workers = append(workers, w)
		ended.Go(w.run)
	}
	changed := !slices.Equal(workers, m.workers)
	for _, w := range m.workers {
		if !slices.Contains(workers, w) {
			w.cancel()
		}
	}
	m.workers = workers
	m.mu.Unlock()
	if changed {
		m.report()
	}
}

func (m *Mapper) report() {
	if m.cfg.Changed != nil {
		m.cfg.Changed()
	}
}

// Status returns what is mapped.
func (m *Mapper) Status() (s Status) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, w := range m.workers {
		s.Targets = append(s.Targets, w.state)
	}
	return s
}

// SetPort maps another port from now on, and removes the mappings of the port before.
func (m *Mapper) SetPort(port uint16) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if port == m.port {
		return
	}
	m.port = port
	for _, w := range m.workers {
		signal(w.moved)
	}
}

func (m *Mapper) currentPort() uint16 {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.port
}

// Close removes the mappings and stops the Mapper. It takes removeTimeout and a moment at most, if
// a router does not answer.
func (m *Mapper) Close() {
	m.cancel()
	<-m.done
}
