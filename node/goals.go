package node

import (
	"encoding/json"
	"time"

	"seedbed/internal/statefile"
)

// tally counts what the seeding goals depend on, over all runs.
type tally struct {
	Uploaded int64 `json:"uploaded"` // bytes of payload
}

// loadTally returns what earlier runs have uploaded.
func (t *torrentState) loadTally() (y tally) {
	b, err := statefile.Read(t.tallyPath())
	if err != nil || json.Unmarshal(b, &y) != nil || y.Uploaded < 0 {
		return tally{}
	}
	return y
}

// saveTally saves the uploaded bytes if they have increased.
func (r *run) saveTally() {
	t := r.t
	y := tally{t.uploaded.Load() + r.swarm.Snapshot().Uploaded}
	if y == t.savedTally {
		return
	}
	b, err := json.Marshal(y)
	if err == nil {
		err = statefile.Write(t.state.tallyPath(), b)
	}
	if err != nil {
		t.node.log.Warn("what was uploaded could not be saved", "torrent", t.Name(), "err", err)
		return
	}
	t.savedTally = y
}

// Ratio returns Uploaded divided by the wanted size of the torrent; 0 while that is
// not known.
func (t *Torrent) Ratio() float64 {
	wanted := t.Snapshot().Wanted
	if wanted == 0 {
		return 0
	}
	return float64(t.Uploaded()) / float64(wanted)
}

// seedGoal stops a torrent that has reached its seeding goal. It is called at
// intervals while the torrent is complete.
func (t *Torrent) seedGoal(now time.Time) {
	cfg := t.node.settings.Load()
	since := t.seedingSince.Load()
	if since == 0 || t.isStopping() {
		return
	}
	if cfg.SeedRatio > 0 && t.Ratio() >= cfg.SeedRatio || cfg.SeedTime > 0 && now.UnixNano()-since >= int64(cfg.SeedTime) {
		t.seedingSince.Store(0)
		t.emit(Event{Kind: Seeded, Uploaded: t.Uploaded(), Ratio: t.Ratio()})
		t.finishSeeding()
	}
}

// finishSeeding stops a torrent that has reached its goal. A torrent of the session is
// paused, any other leaves the node.
func (t *Torrent) finishSeeding() {
	if !t.isKept() {
		t.stop()
		return
	}
	go func() {
		if err := t.Pause(t.node.ctx); err != nil && t.node.ctx.Err() == nil {
			t.emit(Event{Kind: Warning, Err: err})
		}
	}()
}
