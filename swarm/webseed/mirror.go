package webseed

import (
	"fmt"
	"time"

	"seedbed/internal/bitset"
	"seedbed/swarm/wire"
)

const (
	// pauseLong is how long a file is not requested that the mirror does not have or has in
	// another version. pauseShort is that time after a temporary failure.
	pauseLong  = time.Hour
	pauseShort = time.Minute
	// maxFailures consecutive failures of files or pieces count as a failure of the
	// mirror, which is then paused completely.
	maxFailures = 8
)

// Mirror is the state of a web seed. Its methods are not safe for concurrent use.
type Mirror struct {
	cfg      Config
	files    map[int]time.Time // until when a file is not offered, by index
	pieces   map[int]time.Time // the same for a piece that spans several files
	failures int               // consecutive failures
	until    time.Time         // until when nothing is offered
}

// New returns a Mirror that offers everything.
func New(cfg Config) *Mirror {
	return &Mirror{cfg: cfg, files: make(map[int]time.Time), pieces: make(map[int]time.Time)}
}

// PausedFor returns how long the mirror will have nothing to offer, and 0 if it has something
// now.
func (m *Mirror) PausedFor(now time.Time) time.Duration {
	if d := m.until.Sub(now); d > 0 {
		return d
	}
	if m.offered(now).Count() > 0 {
		return 0
	}
	pause := pauseLong
	for _, list := range []map[int]time.Time{m.files, m.pieces} {
		for _, at := range list {
			pause = min(pause, at.Sub(now))
		}
	}
	return max(pause, time.Second)
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

// offer returns the first message to the engine.
func (m *Mirror) offer() wire.Msg {
	set := m.offered(time.Now())
	if set.Full() {
		return wire.Msg{Type: wire.HaveAll}
	}
	return wire.Msg{Type: wire.Bitfield, Payload: set.AppendTo(nil)}
}

// fail pauses a file.
func (m *Mirror) fail(file int, pause time.Duration, reason string, err error) error {
	m.files[file] = time.Now().Add(pause)
	return m.failed(&Error{URL: m.cfg.URL, File: file, Reason: reason, Err: err}, pause)
}

// badPiece pauses the file of a piece with a wrong hash. If the piece spans several
// files, only the piece is paused, because any of them may be wrong.
func (m *Mirror) badPiece(piece int) error {
	file, several := -1, false
	for sp := range m.cfg.Info.PieceSpans(piece) {
		if !m.cfg.Info.Files[sp.File].Pad {
			several = several || file >= 0
			file = sp.File
		}
	}
	e := &Error{URL: m.cfg.URL, File: file, Reason: fmt.Sprintf("sent wrong data in %q", m.name(file))}
	if several {
		m.pieces[piece] = time.Now().Add(pauseLong)
		e.Reason = fmt.Sprintf("sent wrong data in or before %q", m.name(file))
	} else {
		m.files[file] = time.Now().Add(pauseLong)
	}
	return m.failed(e, pauseLong)
}

// failed counts a failure and returns e. After maxFailures in a row, the whole mirror is
// paused.
func (m *Mirror) failed(e *Error, pause time.Duration) error {
	m.failures++
	if m.failures >= maxFailures {
		m.failures = 0
		m.until = time.Now().Add(pause)
		e.Reason += fmt.Sprintf(", after failures with other files; none of its last %d answers was useful", maxFailures)
	}
	return e
}

// name returns the name of a file for messages.
func (m *Mirror) name(file int) string {
	if path := m.cfg.Info.Files[file].Path; len(path) > 0 {
		return path[len(path)-1]
	}
	return m.cfg.Info.Name
}
