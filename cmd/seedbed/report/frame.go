package report

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"seedbed/internal/id"
	"seedbed/node"
	"seedbed/node/lifecycle"
)

// A barLine is one line with a name, a bar and numbers, for a torrent or a file that is
// hashed.
type barLine struct {
	name        string
	done, total int64
	parts       []string // most important first; "" is skipped
}

const (
	nameWidth = 28 // maximum width of a name
	minName   = 16 // minimum width of a name next to a bar
	barWidth  = 6  // minimum width of a bar; with less space there is none
	gap       = "  "
)

// numbersWidth returns the width of the column of numbers. It is the same in every line, so
// that the bars are aligned.
func numbersWidth(cols int) int {
	switch {
	case cols >= 110:
		return 51
	case cols >= 80:
		return 39
	case cols >= 60:
		return 28
	}
	return 20
}

// layout returns the line for a terminal of cols columns.
func (b *barLine) layout(cols int) line {
	room := cols - 1
	numbers, width := "", min(numbersWidth(cols), room)
	for _, p := range b.parts {
		switch {
		case p == "":
		case numbers == "":
			numbers = cut(p, width)
		case textWidth(numbers)+len(gap)+textWidth(p) <= width:
			numbers += gap + p
		}
	}
	left := max(room-width-1, 0)
	name := min(nameWidth, max(left/2, minName), left)
	if bar := left - name - 1; bar >= barWidth {
		return line{text: pad(Clean(b.name), name) + " " + drawBar(b.done, b.total, bar) + " " + numbers}
	}
	return line{text: pad(Clean(b.name), min(nameWidth, left)) + " " + numbers}
}

// drawBar returns a bar of n columns that is done/total full.
func drawBar(done, total int64, n int) string {
	full := 0
	if total > 0 {
		full = min(max(int(float64(done)/float64(total)*float64(n)), 0), n)
	}
	bar := strings.Repeat("━", full)
	if full < n && done > 0 {
		bar += "╸"
		full++
	}
	return bar + strings.Repeat("┄", n-full)
}

// A view is a torrent as shown in a frame.
type view struct {
	id   id.ID
	name string
	node.Snapshot
	checkRate float64 // bytes per second while it is checked
}

// isWaiting reports whether the torrent wants data but receives none.
func (v *view) isWaiting() bool { return v.Paused == nil && v.Reason.Kind != node.ReasonNone }

// activity returns the sort key for torrents: those that transfer most bytes first, then
// incomplete ones.
func (v *view) activity() float64 {
	rate := v.DownRate + v.UpRate + v.checkRate
	if rate < 1 && v.State != lifecycle.Seeding {
		return 0.5
	}
	return rate
}

// bar returns the line of the torrent. stay says that complete torrents are seeded.
func (v *view) bar(cols int, stay bool) line {
	b := barLine{name: v.name, done: v.HaveWanted, total: v.Wanted}
	peers := Plural(v.Connected, "peer")
	up := ""
	if v.UpRate >= 1 {
		up = "↑ " + Rate(v.UpRate)
	}
	switch v.State {
	case lifecycle.Metadata:
		b.done, b.total, b.parts = v.MetaHave, v.MetaSize, []string{"metadata", peers}
	case lifecycle.Checking:
		b.done, b.total = v.Checked, v.ToCheck
		b.parts = []string{fmt.Sprintf("checking %3d %%", Percent(v.Checked, v.ToCheck)), rateOrNone(v.checkRate), TimeLeft(v.ToCheck-v.Checked, v.checkRate)}
	case lifecycle.Seeding, lifecycle.Parked:
		b.parts = []string{"done"}
		if stay {
			b.parts = []string{"seeding", up, peers}
		}
	case lifecycle.Moving:
		b.done, b.total = v.Checked, v.ToCheck
		b.parts = []string{fmt.Sprintf("moving %3d %%", Percent(v.Checked, v.ToCheck))}
	case lifecycle.Adding, lifecycle.Queued, lifecycle.Paused, lifecycle.Missing, lifecycle.Failed, lifecycle.Removing, lifecycle.Ended:
		b.parts = []string{phaseText(v.State)}
	default:
		b.parts = []string{fmt.Sprintf("%3d %%", Percent(v.HaveWanted, v.Wanted)), fmt.Sprintf("↓ %-8s", Rate(v.DownRate)),
			TimeLeft(v.Wanted-v.HaveWanted, v.DownRate), peers, up}
	}
	return b.layout(cols)
}

// phaseText describes a phase without transfers.
func phaseText(p lifecycle.Phase) string {
	switch p {
	case lifecycle.Missing:
		return "data missing"
	case lifecycle.Ended:
		return "stopped"
	}
	return p.String()
}

func rateOrNone(rate float64) string {
	if rate < 1 {
		return ""
	}
	return Rate(rate)
}

// note returns why the torrent gets no data and which peers it lost, or "".
func (v *view) note() string {
	return strings.Join(slices.DeleteFunc([]string{Why(&v.Snapshot), losses(&v.Snapshot)}, func(s string) bool { return s == "" }), "; ")
}

// A frame shows torrents on a terminal: each has a bar, or only the busiest if there are too
// many. If there are several, a line shows the totals.
type frame struct {
	stay  bool
	views []view

	top      []id.ID // the busiest torrents, if not all of them fit
	rankedAt time.Time
}

const (
	busiest   = 8               // maximum number of bars if not all torrents have one
	rankEvery = 3 * time.Second // how long a choice of the busiest stays, so that the user can read it
)

// lines returns the frame for a terminal of this size. It fills at most two thirds of the
// rows, so that the output above it can be read. It is the first of these that fits: every
// torrent with its note, every torrent, the busiest few.
func (f *frame) lines(now time.Time, cols, rows int) []line {
	room := max(rows*2/3, 2)
	if all := f.all(cols); len(all) <= room {
		return all
	}
	out := f.summary(cols)
	n := min(busiest, room-len(out))
	switch {
	case len(f.views)+len(out) <= room:
		n = len(f.views)
	case n <= 0:
		return out
	}
	f.rank(now, n)
	var bars []line
	for i := range f.views {
		if v := &f.views[i]; slices.Contains(f.top[:min(n, len(f.top))], v.id) {
			bars = append(bars, v.bar(cols, f.stay))
		}
	}
	return append(bars, out...)
}

// all returns every torrent with its note, and the totals if there are several.
func (f *frame) all(cols int) (out []line) {
	for i := range f.views {
		v := &f.views[i]
		out = append(out, v.bar(cols, f.stay))
		if note := v.note(); note != "" {
			out = append(out, line{text: gap + note, dim: true})
		}
	}
	if len(f.views) > 1 {
		out = append(out, f.totals(cols))
	}
	return out
}

// rank chooses the n busiest torrents, and keeps the choice for rankEvery.
func (f *frame) rank(now time.Time, n int) {
	if len(f.top) >= n && now.Sub(f.rankedAt) < rankEvery {
		return
	}
	f.rankedAt = now
	order := make([]*view, len(f.views))
	for i := range f.views {
		order[i] = &f.views[i]
	}
	slices.SortStableFunc(order, func(a, b *view) int { return cmp.Compare(b.activity(), a.activity()) })
	f.top = f.top[:0]
	for _, v := range order[:min(n, len(order))] {
		f.top = append(f.top, v.id)
	}
}

// summary describes torrents that are too many to show: the totals, the number of torrents
// in each state, and the worst problem.
func (f *frame) summary(cols int) []line {
	return []line{f.totals(cols), {text: f.states(), dim: true}}
}

// states returns how many torrents are in each state, with the worst reason.
func (f *frame) states() string {
	text := strings.Join(f.counts(), ", ")
	if v := f.worst(); v != nil {
		text += fmt.Sprintf(" (%s: %s)", cut(Clean(v.name), nameWidth), Why(&v.Snapshot))
	}
	return text
}

// totals returns the line with the sums over all torrents.
func (f *frame) totals(cols int) line {
	b := barLine{name: Plural(len(f.views), "torrent")}
	b.done, b.total, b.parts = f.sums()
	return b.layout(cols)
}

// sums returns how many bytes all torrents have and want, and the numbers for the totals.
func (f *frame) sums() (have, wanted int64, parts []string) {
	var down, up float64
	for i := range f.views {
		v := &f.views[i]
		down, up = down+v.DownRate, up+v.UpRate
		have, wanted = have+v.HaveWanted, wanted+v.Wanted
	}
	if wanted == 0 {
		return 0, 0, []string{"metadata"}
	}
	return have, wanted, []string{fmt.Sprintf("%3d %%", Percent(have, wanted)), "↓ " + Rate(down), TimeLeft(wanted-have, down), "↑ " + Rate(up)}
}

// sentence describes all torrents in one line of a log.
func (f *frame) sentence() string {
	_, wanted, parts := f.sums()
	s := fmt.Sprintf("%s: %s", Plural(len(f.views), "torrent"), f.states())
	if wanted > 0 {
		parts[0] = strings.TrimSpace(parts[0])
		if parts[2] != "" {
			parts[2] += " left"
		}
		s += "; " + strings.Join(slices.DeleteFunc(parts, func(p string) bool { return p == "" }), ", ")
	}
	return s
}

// counts returns the number of torrents in each state, worst first.
func (f *frame) counts() (out []string) {
	const errors, waiting = "paused by an error", "waiting"
	complete := "complete"
	if f.stay {
		complete = "seeding"
	}
	n := map[string]int{}
	for i := range f.views {
		what := ""
		switch v := &f.views[i]; {
		case v.Paused != nil:
			what = errors
		case v.isWaiting():
			what = waiting
		case v.State == lifecycle.Metadata:
			what = "fetching metadata"
		case v.State == lifecycle.Seeding || v.State == lifecycle.Parked:
			what = complete
		case v.State == lifecycle.Missing || v.State == lifecycle.Ended:
			what = phaseText(v.State)
		default:
			what = v.State.String()
		}
		n[what]++
	}
	order := []string{errors, lifecycle.Failed.String(), phaseText(lifecycle.Missing), waiting, "fetching metadata", lifecycle.Checking.String(), lifecycle.Downloading.String(), complete}
	for _, what := range slices.Concat(order, slices.Sorted(maps.Keys(n))) {
		if n[what] > 0 {
			out = append(out, fmt.Sprintf("%d %s", n[what], what))
			delete(n, what)
		}
	}
	return out
}

// worst returns the torrent with the worst problem, or nil.
func (f *frame) worst() (worst *view) {
	for i := range f.views {
		switch v := &f.views[i]; {
		case v.Paused != nil:
			return v
		case worst == nil && v.isWaiting():
			worst = v
		}
	}
	return worst
}
