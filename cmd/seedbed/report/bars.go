package report

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vbauerster/mpb/v8"
	"github.com/vbauerster/mpb/v8/decor"

	"seedbed/node"
)

// barReporter shows live bars on a terminal, one a torrent, and under a bar
// that does not move one calm line that says why. Events scroll by above.
type barReporter struct {
	p     *mpb.Progress
	errs  io.Writer
	color bool
	stay  bool // complete torrents are shared, not the end

	mu   sync.Mutex
	bars map[*node.Torrent]*torrentBar
	end  []string // printed when the bars are gone
}

// torrentBar is what the drawing goroutine reads of one torrent.
type torrentBar struct {
	bar *mpb.Bar
	mu  sync.Mutex
	s   node.Snapshot
}

func (b *torrentBar) snapshot() node.Snapshot {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.s
}

func newBarReporter(out *os.File, errs io.Writer, stay bool) *barReporter {
	return &barReporter{
		p:     mpb.New(mpb.WithOutput(out), mpb.WithAutoRefresh()),
		errs:  errs,
		color: os.Getenv("NO_COLOR") == "",
		stay:  stay,
		bars:  map[*node.Torrent]*torrentBar{},
	}
}

func (r *barReporter) Event(e node.Event) {
	line := describe(e)
	if line == "" {
		return
	}
	mark := styled("")
	switch e.Kind {
	case node.Complete:
		mark = paint(r.color, Green, "✓ ")
	case node.Warning, node.Missed:
		mark = "! "
	case node.Failed:
		mark = "✗ "
	case node.Listening:
		line = paint(r.color, Dim, string(line))
	}
	Fprintf(r.p, "%s%s\n", mark, line)
}

func (*barReporter) Every() time.Duration { return 200 * time.Millisecond }

func (r *barReporter) Tick(_ *node.Node, ts []*node.Torrent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for t, b := range r.bars {
		if !slices.Contains(ts[:min(len(ts), maxBars)], t) {
			b.bar.Abort(true) // another version has taken its place
			delete(r.bars, t)
		}
	}
	for _, t := range ts[:min(len(ts), maxBars)] {
		b := r.bars[t]
		if b == nil {
			b = r.addBar(t)
			r.bars[t] = b
		}
		s := t.Snapshot()
		b.mu.Lock()
		b.s = s
		b.mu.Unlock()
		switch s.State {
		case node.FindingMetadata:
			b.bar.SetTotal(max(s.MetaSize, 1), false)
			b.bar.SetCurrent(s.MetaHave)
		case node.Checking:
			b.bar.SetTotal(max(s.ToCheck, 1), false)
			b.bar.SetCurrent(s.Checked)
		default:
			b.bar.SetTotal(max(s.Wanted, 1), false)
			b.bar.SetCurrent(s.HaveWanted)
		}
	}
}

const nameWidth = 28

// maxBars is how many fit a terminal.
const maxBars = 20

func (r *barReporter) addBar(t *node.Torrent) *torrentBar {
	b := &torrentBar{}
	style := mpb.BarStyle().Lbound("").Filler("━").Tip("╸").Padding("┄").Rbound("")
	b.bar = r.p.New(0, style, // a bar without a total can be given one later

		mpb.PrependDecorators(decor.Any(func(decor.Statistics) string {
			return clip(Clean(t.Name()), nameWidth)
		}, decor.WC{W: nameWidth + 1, C: decor.DindentRight})),
		mpb.AppendDecorators(decor.Any(func(decor.Statistics) string { return r.numbers(b.snapshot()) })),
		mpb.BarExtender(mpb.BarFillerFunc(func(w io.Writer, st decor.Statistics) error {
			s := b.snapshot()
			var notes []string
			for _, note := range []string{s.Why, s.Losses()} {
				if note != "" {
					notes = append(notes, note)
				}
			}
			if len(notes) == 0 {
				return nil
			}
			_, err := Fprintf(w, "%s\n", paint(r.color, Dim, "  "+clip(Clean(strings.Join(notes, "; ")), max(st.AvailableWidth-2, 20))))
			return err
		}), false))
	return b
}

// numbers is what stands behind a bar.
func (r *barReporter) numbers(s node.Snapshot) string {
	switch s.State {
	case node.FindingMetadata:
		return " metadata"
	case node.Checking:
		return fmt.Sprintf(" checking %3d %%", Percent(s.Checked, s.ToCheck))
	case node.SeedingState:
		if !r.stay {
			return " done"
		}
		return fmt.Sprintf(" seeding  ↑ %s  %s", Rate(s.UpRate), Plural(s.Connected, "peer"))
	}
	parts := []string{fmt.Sprintf(" %3d %%", Percent(s.HaveWanted, s.Wanted)), "↓ " + Rate(s.DownRate)}
	if s.UpRate >= 1 {
		parts = append(parts, "↑ "+Rate(s.UpRate))
	}
	parts = append(parts, Plural(s.Connected, "peer"))
	if eta := TimeLeft(s.Wanted-s.HaveWanted, s.DownRate); eta != "" {
		parts = append(parts, eta)
	}
	return strings.Join(parts, "  ")
}

// clip shortens s to n characters with an ellipsis.
func clip(s string, n int) string {
	r := []rune(s)
	if len(r) <= n {
		return s
	}
	return string(r[:n-1]) + "…"
}

func (r *barReporter) Ready(ts []*node.Torrent) {
	if len(ts) > 1 {
		Fprintf(r.p, "all %d torrents are verified and seeding\n", len(ts))
	}
	Fprintf(r.p, "%s\n", paint(r.color, Dim, "Press Ctrl-C to stop seeding."))
}

func (r *barReporter) Streaming(t *node.Torrent, files []Stream) {
	for _, line := range streamingLines(t, files) {
		Fprintf(r.p, "%s\n", line)
	}
}

func (r *barReporter) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.end = append(r.end, Sentence(err))
}

func (r *barReporter) Close() {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, b := range r.bars {
		if b.snapshot().State == node.SeedingState {
			b.bar.SetTotal(-1, true)
		} else {
			b.bar.Abort(false)
		}
	}
	r.p.Wait() // draws once more
	for _, line := range r.end {
		Fprintf(r.errs, "\rseedbed: %s\n", line) // over the ^C that the terminal echoed
	}
}
