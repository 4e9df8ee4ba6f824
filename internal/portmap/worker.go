package portmap

import (
	"context"
	"errors"
	"net/netip"
	"slices"
	"sync"
	"time"
)

const (
	// firstRetry and maxRetry bound the pause before the methods are tried again. It doubles each
	// time.
	firstRetry = 5 * time.Second
	maxRetry   = 10 * time.Minute
	// A router that had mappings, and probably restarts, is asked at least every restartRetry
	// for restartTime.
	restartRetry = 15 * time.Second
	restartTime  = 10 * time.Minute
	// openTimeout bounds one attempt with all methods, so that slow devices hold nothing up.
	openTimeout = 45 * time.Second
)

// worker keeps the port mapped for one target.
type worker struct {
	target
	m      *Mapper
	ctx    context.Context
	cancel context.CancelFunc
	moved  chan struct{} // the port has changed
	hasten chan struct{} // ask now if nothing is mapped; capacity 1
	state  Target        // guarded by Mapper.mu
	held   []*holding    // that are kept; guarded by Mapper.mu
}

func newWorker(ctx context.Context, m *Mapper, t target) *worker {
	w := &worker{target: t, m: m, moved: make(chan struct{}, 1), hasten: make(chan struct{}, 1), state: Target{Interface: t.iface, Local: t.local, Gateway: t.gateway}}
	w.ctx, w.cancel = context.WithCancel(ctx)
	return w
}

// run maps the port until the worker is cancelled.
func (w *worker) run() {
	var ended sync.WaitGroup
	defer ended.Wait()
	defer w.cancel()
	ended.Go(w.followAnnouncements)
	pause := firstRetry
	var lost time.Time
	for w.ctx.Err() == nil {
		port := w.m.currentPort()
		held, err := w.open(w.ctx, port)
		if w.ctx.Err() == nil {
			w.publish(held, err, port)
		}
		if len(held) > 0 {
			pause = firstRetry
			w.keep(held, port)
			lost = time.Now()
			continue
		}
		if time.Since(lost) < restartTime {
			pause = min(pause, restartRetry)
		}
		t := time.NewTimer(pause)
		pause = min(2*pause, maxRetry)
		select {
		case <-w.ctx.Done():
		case <-w.moved:
			pause = firstRetry
		case <-w.hasten:
			pause = firstRetry
		case <-t.C:
		}
		t.Stop()
	}
}

// hurry makes the worker ask its router now. Mapper.mu is held.
func (w *worker) hurry() {
	signal(w.hasten)
	for _, h := range w.held {
		signal(h.hasten)
	}
}

func (w *worker) hold(held []*holding) {
	w.m.mu.Lock()
	defer w.m.mu.Unlock()
	w.held = held
}

// open tries the methods until one works. The search for UPnP devices takes the longest, so it
// runs while the others are tried.
func (w *worker) open(ctx context.Context, port uint16) (held []*holding, err error) {
	ctx, cancel := context.WithTimeout(ctx, openTimeout)
	defer cancel()
	var search *search
	if slices.Contains(w.m.cfg.Methods, UPnP) && (w.search.IsValid() || w.isGiven && w.gateway.Is4()) {
		search = w.startSearch(ctx)
	}
	var failed Error
	fail := func(m Method, err error) { failed.Attempts = append(failed.Attempts, Attempt{m, err}) }
	for _, method := range w.m.cfg.Methods {
		var clients []client
		switch {
		case method == UPnP && search != nil:
			clients, err = search.clients(ctx)
		case method == PCP:
			clients, err = w.udpClient(newPCP)
		case method == NATPMP && w.local.Is4():
			clients, err = w.udpClient(newNATPMP)
		default:
			continue
		}
		if err != nil {
			fail(method, err)
			continue
		}
		// Every device that answers is asked: which of them leads to the internet is not known.
		for _, c := range clients {
			h := &holding{client: c, internal: port, hasten: make(chan struct{}, 1)}
			if err := h.establish(ctx); err != nil {
				c.close()
				fail(method, err)
				continue
			}
			held = append(held, h)
		}
		if len(held) > 0 {
			return held, nil
		}
	}
	return nil, &failed
}

// udpClient returns the client of PCP or NAT-PMP at the gateway.
func (w *worker) udpClient(create func(*udpSocket, *target) client) ([]client, error) {
	s, err := dialRouter(w.m.cfg.system, w.local, w.gateway)
	if err != nil {
		return nil, err
	}
	return []client{create(s, &w.target)}, nil
}

// keep keeps what is held until it is lost, the port changes or the worker ends. In the last two
// cases it removes it.
func (w *worker) keep(held []*holding, port uint16) {
	ctx, cancel := context.WithCancel(w.ctx)
	var ended sync.WaitGroup
	lost := make(chan struct{}, len(held))
	w.hold(held)
	defer w.hold(nil)
	for _, h := range held {
		ended.Go(func() {
			h.keep(ctx, func() { w.publish(held, nil, port) })
			lost <- struct{}{}
		})
	}
	isLost := false
	select {
	case <-w.ctx.Done():
	case <-w.moved:
	case <-lost:
		// The mappings of other devices stay, and the next attempt takes them up again.
		isLost = w.ctx.Err() == nil
	}
	cancel()
	ended.Wait()
	if !isLost {
		ctx, cancel := context.WithTimeout(context.Background(), removeTimeout)
		defer cancel()
		for _, h := range held {
			ended.Go(func() { h.remove(ctx) })
		}
		ended.Wait()
	}
	for _, h := range held {
		h.client.close()
	}
}

// publish makes what is held, or the reason why nothing is, the state of the target.
func (w *worker) publish(held []*holding, err error, port uint16) {
	w.m.mu.Lock()
	before := w.state
	w.state = Target{Interface: w.iface, Local: w.local, Gateway: w.gateway, Err: err}
	for _, p := range []Protocol{TCP, UDP} {
		for _, h := range held {
			g := h.granted(p)
			w.state.Mappings = append(w.state.Mappings, Mapping{Method: h.client.method(), Protocol: p, Router: h.client.router(), Asked: h.internal,
				Internal: netip.AddrPortFrom(w.local, g.internal), External: g.external, Lease: g.lease})
		}
	}
	switch {
	case err != nil:
		w.state.Advice = adviceFor(&w.target, port)
	case len(held) > 0:
		w.state.Advice = adviceOn(&w.state.Mappings[0])
	}
	changed := !slices.Equal(before.Mappings, w.state.Mappings) || !sameError(before.Err, err)
	w.m.mu.Unlock()
	if !changed {
		return
	}
	if err != nil {
		w.m.log.Info("no router maps the port", "local", w.local, "gateway", w.gateway, "err", err)
	}
	w.m.report()
}

func sameError(a, b error) bool {
	if a == nil || b == nil {
		return a == b
	}
	return a.Error() == b.Error()
}

// client asks one router by one method.
type client interface {
	method() Method
	router() netip.Addr
	// mapPort asks for a mapping, or renews it. The external port is a suggestion, which the router
	// may replace by another. errConflict says that the port is taken and the router offers none.
	mapPort(ctx context.Context, p Protocol, internal, external uint16) (grant, error)
	unmapPort(ctx context.Context, p Protocol, g grant) error
	// check asks whether the router still has what it granted. errLost says that it does not. From mapPort
	// and check, errGone says that the client is of no more use: the device must be found again.
	check(ctx context.Context, tcp grant) error
	// checkEvery is how often to call check.
	checkEvery() time.Duration
	// renewEvery is how often to renew at least, however long the lease is.
	renewEvery() time.Duration
	close()
}

// grant is what a router granted.
type grant struct {
	internal uint16
	external netip.AddrPort
	lease    time.Duration // 0 for no end
}

var (
	errConflict = errors.New("the external port is taken by another device")
	errLost     = errors.New("the router has lost its mappings")
	errGone     = errors.New("nothing listens any more where the device was found")
	errNoAnswer = errors.New("no answer")
	errInvalid  = errors.New("the router granted something that is no mapping")
)
