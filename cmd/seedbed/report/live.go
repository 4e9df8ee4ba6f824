package report

import (
	"iter"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/node/lifecycle"
	objects "seedbed/node/view"
)

// liveReporter redraws progress bars on a terminal. Events scroll by above them.
type liveReporter struct {
	o   *Output
	now func() time.Time

	mu      sync.Mutex
	frame   frame
	section *section
	checks  map[id.ID]*meter
	next    time.Time // no frame is computed before this time
	end     error     // printed after the bars are removed
}

func newLiveReporter(o *Output, stay bool) *liveReporter {
	r := &liveReporter{o: o, now: time.Now, frame: frame{stay: stay}, checks: map[id.ID]*meter{}}
	r.section = o.live.add(func(cols, rows int) []line {
		r.mu.Lock()
		defer r.mu.Unlock()
		return r.frame.lines(r.now(), cols, rows)
	})
	return r
}

func (r *liveReporter) say(format string, args ...any) {
	Fprintf(r.o.live, format+"\n", args...)
}

func (r *liveReporter) Event(e Event) {
	line := describe(e)
	if line == "" {
		return
	}
	mark := styled("")
	color := r.o.live.color
	switch e.Object.(type) {
	case *objects.Completed:
		mark = paint(color, Green, "✓ ")
	case *objects.Warning, *objects.Missed:
		mark = "! "
	case *objects.Failed:
		mark = paint(color, Red, "✗ ")
	case *objects.Listening, *objects.Mapped, *objects.Reachability, *objects.NetworkChanged:
		line = paint(color, Dim, string(line))
	}
	r.say("%s%s", mark, line)
}

func (*liveReporter) Every() time.Duration { return 200 * time.Millisecond }

// Tick draws the torrents. If there are so many that reading their state is slow, it spends
// at most a tenth of the time on that.
func (r *liveReporter) Tick(_ Node, ts iter.Seq[Torrent]) {
	began := r.now()
	if began.Before(r.next) {
		r.o.live.draw()
		return
	}
	var views []view
	for t := range ts {
		v := view{id: t.InfoHash(), name: t.Name(), Snapshot: t.Snapshot()}
		if v.State == lifecycle.Checking {
			v.checkRate = r.meter(v.id).update(began, v.Checked)
		} else {
			delete(r.checks, v.id)
		}
		views = append(views, v)
	}
	r.mu.Lock()
	r.frame.views = views
	r.mu.Unlock()
	r.o.live.draw()
	end := r.now()
	r.next = end.Add(9 * end.Sub(began))
}

func (r *liveReporter) meter(id id.ID) *meter {
	m := r.checks[id]
	if m == nil {
		m = &meter{}
		r.checks[id] = m
	}
	return m
}

func (r *liveReporter) Ready(torrents int) {
	if torrents > 1 {
		r.say("all %d torrents are verified and seeding", torrents)
	}
	r.say("%s", paint(r.o.live.color, Dim, "Press Ctrl-C to stop seeding."))
}

func (r *liveReporter) Streaming(t Torrent, files []Stream) {
	for _, line := range streamingLines(t, files) {
		r.say("%s", line)
	}
}

func (r *liveReporter) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = err
}

func (r *liveReporter) Close() {
	r.section.remove()
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.end != nil {
		Fprintf(r.o.Stderr(), "seedbed: %s\n", Sentence(r.end))
	}
}
