package pins

import (
	"errors"
	"fmt"
	"time"

	"seedbed/node"
	"seedbed/node/follow"
)

const (
	// startEvery is the interval at which pins start that are on record or that lists name. Each
	// begins with a search in the DHT, so many at once would flood it.
	startEvery = 250 * time.Millisecond
	// retryEvery is how often pins that could not be started are tried again.
	retryEvery = time.Minute
)

// elsewhere is the reason why a pin has nothing to do: this node has the content without it.
type elsewhere string

func (e elsewhere) Error() string { return string(e) }

// run starts the pins one after another, and follows the lists, until the manager ends.
func (m *Manager) run() {
	defer close(m.done)
	if m.cfg.Ready != nil {
		select {
		case <-m.cfg.Ready:
		case <-m.ctx.Done():
			return
		}
	}
	events := m.node.Subscribe(node.SwitchedVersion)
	defer events.Close()
	timer := time.NewTimer(0)
	defer timer.Stop()
	var retried time.Time
	for {
		select {
		case <-m.ctx.Done():
			m.warn(m.save())
			return
		case _, open := <-events.Ready():
			if !open {
				return
			}
			events.Take()
		case <-m.wake:
		case <-timer.C:
		}
		if now := time.Now(); now.Sub(retried) >= retryEvery {
			retried = now
			m.forgetFailures()
		}
		m.step(timer)
	}
}

// step settles the charges, applies changed lists, starts one pin, and sets the timer for the next step.
func (m *Manager) step(timer *time.Timer) {
	end, err := m.begin(m.ctx)
	if err != nil {
		return
	}
	defer end()
	m.settle()
	wait := m.readLists()
	if err := m.finish(m.ctx); m.ctx.Err() == nil {
		m.warn(err)
	}
	m.warn(m.save())
	if l, p := m.nextStart(); l != nil {
		m.startList(l)
		wait = startEvery
	} else if p != nil {
		m.start(p)
		wait = startEvery
	}
	timer.Reset(wait)
}

// poke makes run take its next step now.
func (m *Manager) poke() {
	select {
	case m.wake <- struct{}{}:
	default:
	}
}

// settle charges pins with the version that is current now, and notices torrents that have ended.
func (m *Manager) settle() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pins {
		if p.follower != nil && (p.Charge.settle(p.follower.Seq()) || p.recharge()) {
			m.unsaved = true
		}
		if p.torrent != nil {
			select {
			case <-p.torrent.Ended():
				p.torrent, p.failed = nil, errors.New("its torrent has ended")
			default:
			}
		}
	}
}

// forgetFailures lets what could not be started be tried again.
func (m *Manager) forgetFailures() {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, p := range m.pins {
		if p.follower == nil && p.torrent == nil {
			p.failed = nil
		}
	}
	for _, l := range m.lists {
		if l.follower == nil {
			l.failed = nil
		}
	}
	for _, e := range m.endings {
		e.failed = nil
	}
}

// nextStart returns a list or a pin that is to be started, or nil.
func (m *Manager) nextStart() (*list, *pin) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, l := range m.lists {
		if l.follower == nil && l.failed == nil {
			return l, nil
		}
	}
	for _, p := range m.sorted() {
		if p.follower == nil && p.torrent == nil && p.failed == nil {
			return nil, p
		}
	}
	return nil, nil
}

// start begins to hold what a pin names, unless that is done already. If it fails, that is tried
// again later. m.change is held.
func (m *Manager) start(p *pin) {
	m.mu.Lock()
	if p.removed || p.follower != nil || p.torrent != nil {
		m.mu.Unlock()
		return
	}
	m.mu.Unlock()
	f, t, err := m.open(p)
	m.mu.Lock()
	defer m.mu.Unlock()
	p.follower, p.torrent, p.failed = f, t, err
}

// open follows the publication of a pin, or adds its torrent.
func (m *Manager) open(p *pin) (f *follow.Follower, t *node.Torrent, err error) {
	if m.cfg.Elsewhere != nil {
		if why := m.cfg.Elsewhere(p.id); why != "" {
			return nil, nil, elsewhere(why)
		}
	}
	if p.link.HasPublicKey {
		f, err = follow.Start(m.node, follow.Config{Link: p.link, Dir: p.Dir, KeepAlive: true, Poll: m.cfg.Poll, Keep: -1, Owner: owner, Admit: m.admitVersion(p)})
		return f, nil, err
	}
	t, err = m.node.Add(node.Spec{Link: p.link, Dir: p.Dir, Prepare: m.admitTorrent(p)})
	if errors.Is(err, node.ErrDuplicate) {
		err = elsewhere("the torrent is in the session, which keeps it")
	}
	return nil, t, err
}

// warn emits a warning about an error.
func (m *Manager) warn(err error) {
	if err != nil {
		m.node.Emit(node.Event{Kind: node.Warning, Err: fmt.Errorf("pins: %w", err)})
	}
}
