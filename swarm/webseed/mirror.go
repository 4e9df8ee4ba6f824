package webseed

import (
	"fmt"
	"time"

	"seedbed/internal/bitset"
	"seedbed/swarm/wire"
)

const (
	// restLong is how long a file is not asked for that a mirror does not have as the
	// torrent has it, and restShort after a failure that may pass.
	restLong  = time.Hour
	restShort = time.Minute
	// maxFailures files or pieces in a row that come to nothing are the mirror's
	// fault, which rests as a whole then.
	maxFailures = 8
)

// Mirror is one web seed and what is known of it. Its methods are not safe for concurrent
// use.
type Mirror struct {
	cfg      Config
	files    map[int]time.Time // until when a file is not offered, by index
	pieces   map[int]time.Time // the same of a piece that spans several files
	failures int               // in a row
	until    time.Time         // until when nothing is offered
}

// New returns a Mirror that offers everything.
func New(cfg Config) *Mirror {
	return &Mirror{cfg: cfg, files: make(map[int]time.Time), pieces: make(map[int]time.Time)}
}

// Rest returns how long the mirror has nothing to offer: 0 if it has now.
func (m *Mirror) Rest(now time.Time) time.Duration {
	if d := m.until.Sub(now); d > 0 {
		return d
	}
	if m.offered(now).Count() > 0 {
		return 0
	}
	rest := restLong
	for _, list := range []map[int]time.Time{m.files, m.pieces} {
		for _, at := range list {
			rest = min(rest, at.Sub(now))
		}
	}
	return max(rest, time.Second)
}

// offered returns the pieces that the mirror may have.
func (m *Mirror) offered(now time.Time) bitset.Set {
	set := bitset.New(m.cfg.Info.NumPieces())
	set.Fill()
	for f, at := range m.files {
		if !at.After(now) {
			delete(m.files, f)
			continue
		}
		for p, end := m.cfg.Info.PiecesOf(f); p < end; p++ {
			set.Remove(p)
		}
	}
	for p, at := range m.pieces {
		if !at.After(now) {
			delete(m.pieces, p)
			continue
		}
		set.Remove(p)
	}
	return set
}

// offer is the first message to the engine.
func (m *Mirror) offer() wire.Msg {
	set := m.offered(time.Now())
	if set.Full() {
		return wire.Msg{Type: wire.HaveAll}
	}
	return wire.Msg{Type: wire.Bitfield, Payload: set.AppendTo(nil)}
}

// fail has a file rest.
func (m *Mirror) fail(file int, rest time.Duration, reason string, err error) error {
	m.files[file] = time.Now().Add(rest)
	return m.failed(&Error{URL: m.cfg.URL, File: file, Reason: reason, Err: err}, rest)
}

// badPiece has the file rest to which a piece with a wrong hash belongs; if it spans
// several files, the piece alone, since any of them may be the wrong one.
func (m *Mirror) badPiece(piece int) error {
	file, several := -1, false
	for sp := range m.cfg.Info.PieceSpans(piece) {
		if !m.cfg.Info.Files[sp.File].Pad {
			several = several || file >= 0
			file = sp.File
		}
	}
	e := &Error{URL: m.cfg.URL, File: file, Reason: fmt.Sprintf("has sent wrong data in %q", m.name(file))}
	if several {
		m.pieces[piece] = time.Now().Add(restLong)
		e.Reason = fmt.Sprintf("has sent wrong data in or before %q", m.name(file))
	} else {
		m.files[file] = time.Now().Add(restLong)
	}
	return m.failed(e, restLong)
}

// failed counts failures: after too many the mirror rests as a whole.
func (m *Mirror) failed(e *Error, rest time.Duration) error {
	m.failures++
	if m.failures >= maxFailures {
		m.failures = 0
		m.until = time.Now().Add(rest)
		e.Reason += fmt.Sprintf(", as other files before it; none of its %d last answers was of use", maxFailures)
	}
	return e
}

// name is what a message calls a file.
func (m *Mirror) name(file int) string {
	if path := m.cfg.Info.Files[file].Path; len(path) > 0 {
		return path[len(path)-1]
	}
	return m.cfg.Info.Name
}
