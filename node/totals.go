package node

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"seedbed/internal/mono"
	"seedbed/internal/statefile"
	"seedbed/node/lifecycle"
)

// Totals is what a torrent has done over all runs. A kill loses at most the last few minutes of
// the bytes and durations.
type Totals struct {
	Uploaded   int64 // bytes of payload sent to peers
	Downloaded int64 // bytes of payload received
	Wasted     int64 // bytes of payload received and discarded: a wrong hash, or a duplicate
	// Downloading includes fetching the metadata, and Seeding includes the time that the torrent
	// is parked.
	Downloading, Seeding time.Duration
	Added                time.Time // zero outside of the session
	Completed            time.Time // when the wanted files became complete; zero if they are not
	Active               time.Time // when payload was last sent or received; zero: never
}

// tally is the saved form of Totals: in the record of a torrent of the session, and in the file
// "tally" while its swarm runs.
type tally struct {
	Uploaded    int64         `json:"uploaded,omitempty"`
	Downloaded  int64         `json:"downloaded,omitempty"`
	Wasted      int64         `json:"wasted,omitempty"`
	Downloading time.Duration `json:"downloading_ns,omitempty"`
	Seeding     time.Duration `json:"seeding_ns,omitempty"`
	Completed   uint32        `json:"completed,omitempty"` // Unix seconds; 0: it is not complete
	Active      uint32        `json:"active,omitempty"`    // Unix seconds; 0: never
}

// isValid reports whether nothing is negative.
func (y *tally) isValid() bool {
	return min(y.Uploaded, y.Downloaded, y.Wasted, int64(y.Downloading), int64(y.Seeding)) >= 0
}

// counts are the tally without the current run and the current phase. control.mu guards them.
type counts struct {
	tally
	since mono.Time // when the current phase began
	store StoreUsage
}

// setState changes the state of the torrent and counts how long the last phase was. control.mu is
// held.
func (t *Torrent) setState(s lifecycle.State) {
	c := &t.control
	if s.Phase != c.state.Phase {
		now := t.node.now()
		c.counts.tally = t.counted(now)
		c.counts.since = now
		t.node.counters.move(c.state.Phase, s.Phase)
	}
	c.state = s
}

// counted returns the tally of earlier runs, with the current phase up to now. control.mu is held.
func (t *Torrent) counted(now mono.Time) tally {
	y, d := t.control.counts.tally, now.Sub(t.control.counts.since)
	switch t.control.state.Phase {
	case lifecycle.Metadata, lifecycle.Downloading:
		y.Downloading += d
	case lifecycle.Seeding, lifecycle.Parked:
		y.Seeding += d
	}
	return y
}

// tally returns the tally up to now. control.mu is held.
func (t *Torrent) tally() tally {
	y := t.counted(t.node.now())
	if r := t.run.Load(); r != nil && !r.isCounted {
		y.add(r)
	}
	return y
}

// add adds the traffic of a run.
func (y *tally) add(r *run) {
	traffic := r.swarm.Traffic()
	y.Uploaded += traffic.Uploaded
	y.Downloaded += traffic.Downloaded
	y.Wasted += traffic.Wasted
	if !traffic.Last.IsZero() {
		y.Active = uint32(traffic.Last.Unix())
	}
}

// countRun adds the traffic of a run that has stopped to the counts.
func (t *Torrent) countRun(r *run) {
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	t.control.counts.add(r)
	t.control.counts.store.add(r.objects.Load())
	r.isCounted = true
}

// Totals returns what the torrent has done over all runs.
func (t *Torrent) Totals() Totals {
	c := &t.control
	c.mu.Lock()
	defer c.mu.Unlock()
	y := t.tally()
	out := Totals{Uploaded: y.Uploaded, Downloaded: y.Downloaded, Wasted: y.Wasted, Downloading: y.Downloading, Seeding: y.Seeding,
		Completed: unixTime(y.Completed), Active: unixTime(y.Active)}
	if c.entry != nil {
		out.Added = time.Unix(c.entry.added, 0).UTC()
	}
	return out
}

func unixTime(seconds uint32) time.Time {
	if seconds == 0 {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0).UTC()
}

// Uploaded returns the bytes of payload sent to peers, over all runs.
func (t *Torrent) Uploaded() int64 { return t.Totals().Uploaded }

// noteComplete records when the wanted files became complete, or that they are not any more.
func (t *Torrent) noteComplete(complete bool) {
	y := &t.control.counts.tally
	t.control.mu.Lock()
	defer t.control.mu.Unlock()
	switch {
	case !complete:
		y.Completed = 0
	case y.Completed == 0:
		y.Completed = uint32(time.Now().Unix())
	}
}

// loadTally returns the saved tally. It returns zero if there is none, because the process was not
// killed and the record has the tally.
func (t *torrentState) loadTally() (y tally) {
	b, err := statefile.Read(t.tallyPath())
	if err != nil || json.Unmarshal(b, &y) != nil || !y.isValid() {
		return tally{}
	}
	return y
}

// saveTally saves the tally.
func (r *run) saveTally() {
	r.t.control.mu.Lock()
	y := r.t.tally()
	r.t.control.mu.Unlock()
	b, err := json.Marshal(y)
	if err == nil {
		err = statefile.Write(r.t.state.tallyPath(), b)
	}
	if err != nil {
		r.t.node.log.Warn("cannot save the totals of a torrent", "torrent", r.t.Name(), "err", err)
	}
}

// dropTally deletes the saved tally, which the record has too.
func (t *Torrent) dropTally() error {
	path := t.state.tallyPath()
	if _, err := os.Lstat(path); errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err := t.syncRecord(); err != nil {
		return err
	}
	return os.Remove(path)
}

// A parked torrent saves nothing, so that 100,000 of them cost nothing. Its record has the uptime
// of the node when it was parked, and the node saves its uptime at intervals. The difference is
// how long the torrent has been parked at a restart.

// uptime returns how long nodes with this state directory have run, over all runs.
func (n *Node) uptime() time.Duration { return n.uptimeBefore + time.Duration(n.now()) }

func (s *stateDir) uptimePath() string { return filepath.Join(s.path, "uptime") }

// loadUptime returns the saved uptime, or 0.
func (s *stateDir) loadUptime() time.Duration {
	b, err := statefile.Read(s.uptimePath())
	if err != nil {
		return 0
	}
	ns, err := strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
	if err != nil {
		return 0
	}
	return max(time.Duration(ns), 0)
}

// saveUptime saves the uptime, if this process owns the session.
func (n *Node) saveUptime() error {
	if !n.state.owned() {
		return nil
	}
	return statefile.Write(n.state.uptimePath(), strconv.AppendInt(nil, int64(n.uptime()), 10))
}
