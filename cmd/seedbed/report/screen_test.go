package report

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/vt"
	"seedbed/node"
	"seedbed/node/lifecycle"
	"seedbed/swarm/engine"
)

// onVT returns a screen that is drawn on v, without colours.
func onVT(v *vt.Terminal) *screen {
	return &screen{w: v, size: func() (int, int) { return v.Cols, v.Rows }}
}

// lines returns a section of n lines that fill a terminal of any width.
func lines(n int) func(cols, rows int) []line {
	return func(cols, rows int) (out []line) {
		for i := range n {
			out = append(out, line{text: fmt.Sprintf("bar %d ", i) + strings.Repeat("━", cols)})
		}
		return out
	}
}

// The frame is redrawn in place, and events scroll by above it.
func TestEventsScrollAboveTheFrame(t *testing.T) {
	v := vt.New(40, 8, true)
	s := onVT(v)
	sec := s.add(lines(3))
	for i := range 20 {
		s.draw()
		s.draw()
		Fprintf(s, "event %d\n", i)
	}
	got := strings.Split(v.Text(), "\n")
	if len(got) != 8 || got[4] != "event 19" || !strings.HasPrefix(got[5], "bar 0 ━") || !strings.HasPrefix(got[7], "bar 2 ━") {
		t.Errorf("screen:\n%s", v.Text())
	}
	if strings.Contains(v.History(), "bar") || strings.Count(v.History(), "event") != 15 {
		t.Errorf("history:\n%s", v.History())
	}
	sec.remove()
	Fprintf(s, "end\n")
	if strings.Contains(v.Text(), "bar") || !strings.HasSuffix(v.Text(), "event 19\nend") {
		t.Errorf("screen at the end:\n%s", v.Text())
	}
	if len(v.Faults) > 0 {
		t.Error(v.Faults)
	}
}

// After any change of width and height, nothing stale is left and no event is lost, on
// terminals that rewrap lines and on those that cut them.
func TestResizingLeavesNothingStale(t *testing.T) {
	for _, reflow := range []bool{true, false} {
		v := vt.New(120, 24, reflow)
		s := onVT(v)
		sec := s.add(lines(5))
		for i, size := range [][2]int{{120, 24}, {40, 24}, {80, 24}, {60, 10}, {60, 24}, {23, 7}, {120, 30}, {80, 24}} {
			v.Resize(size[0], size[1])
			s.draw()
			Fprintf(s, "event %d\n", i)
			if n := strings.Count(v.Text(), "bar"); n != min(5, size[1]-1) {
				t.Errorf("reflow %v, %v: %d bars on the screen:\n%s", reflow, size, n, v.Text())
			}
		}
		sec.remove()
		Fprintf(s, "end\n")
		if all := v.History() + "\n" + v.Text(); strings.Contains(all, "bar") || strings.Contains(all, "━") {
			t.Errorf("reflow %v: stale bars:\n%s", reflow, all)
		} else if reflow {
			for i := range 8 {
				if !strings.Contains(all, fmt.Sprintf("event %d\n", i)) {
					t.Errorf("event %d is lost:\n%s", i, all)
				}
			}
		}
	}
}

// After the first signal the screen stays clear, even if ticks continue.
func TestNothingIsDrawnAfterAnInterrupt(t *testing.T) {
	v := vt.New(80, 24, true)
	s := onVT(v)
	s.add(lines(3))
	Fprintf(s, "event\n")
	_, _ = v.Write([]byte("^C")) // the terminal echoes it at the cursor
	s.end()
	s.draw()
	Fprintf(s, "stopped\n")
	if got, want := v.Text(), "event\nstopped"; got != want {
		t.Errorf("screen:\n%s", got)
	}
}

func downloading(n int, name string, rate float64) view {
	return view{id: id.ID{byte(n), byte(n >> 8)}, name: name, Snapshot: node.Snapshot{State: lifecycle.Downloading,
		Stats: engine.Stats{Metadata: true, Wanted: 1_400_000_000, HaveWanted: 588_000_000, DownRate: rate, UpRate: 3000, Connected: 12}}}
}

// Each width shows the most important parts, and no line is longer than the terminal is
// wide.
func TestATorrentAtEachWidth(t *testing.T) {
	film := downloading(1, "Big Buck Bunny 2008 1080p remastered", 1_234_000)
	checking := view{name: "backup", Snapshot: node.Snapshot{State: lifecycle.Checking, Checked: 300_000_000, ToCheck: 1_000_000_000}, checkRate: 1e8}
	seeding := view{name: "日本語の名前です", Snapshot: node.Snapshot{State: lifecycle.Seeding, Stats: engine.Stats{UpRate: 45_000, Connected: 3, Wanted: 9, HaveWanted: 9}}}
	for cols, want := range map[int]string{
		40: `
Big Buck Bunny 20…  42 %  ↓ 1.2 MB/s
backup             checking  30 %  7s
日本語の名前です   seeding  ↑ 45 kB/s`,
		60: `
Big Buck Bunny … ━━━━━╸┄┄┄┄┄┄┄  42 %  ↓ 1.2 MB/s  10m58s
backup           ━━━╸┄┄┄┄┄┄┄┄┄ checking  30 %  100 MB/s  7s
日本語の名前です ━━━━━━━━━━━━━ seeding  ↑ 45 kB/s  3 peers`,
		80: `
Big Buck Bunny 200… ━━━━━━━╸┄┄┄┄┄┄┄┄┄┄┄  42 %  ↓ 1.2 MB/s  10m58s  12 peers
backup              ━━━━━╸┄┄┄┄┄┄┄┄┄┄┄┄┄ checking  30 %  100 MB/s  7s
日本語の名前です    ━━━━━━━━━━━━━━━━━━━ seeding  ↑ 45 kB/s  3 peers`,
		120: `
Big Buck Bunny 2008 1080p r… ━━━━━━━━━━━━━━━╸┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄  42 %  ↓ 1.2 MB/s  10m58s  12 peers  ↑ 3.0 kB/s
backup                       ━━━━━━━━━━━╸┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄┄ checking  30 %  100 MB/s  7s
日本語の名前です             ━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━━ seeding  ↑ 45 kB/s  3 peers`,
	} {
		got := ""
		for _, v := range []view{film, checking, seeding} {
			l := strings.TrimRight(v.bar(cols, true).text, " ")
			if w := textWidth(l); w >= cols {
				t.Errorf("%d columns at %d: %q", w, cols, l)
			}
			got += "\n" + l
		}
		if got != want {
			t.Errorf("at %d columns:%s", cols, got)
		}
	}
}

// Thirteen and five hundred torrents on 24 rows: the frame shows the totals, why some wait,
// and as many bars as fit. None of it reaches the scrollback.
func TestManyTorrentsDoNotFloodTheScreen(t *testing.T) {
	for _, many := range []int{13, 500} {
		for _, cols := range []int{40, 60, 80, 120} {
			v := vt.New(cols, 24, true)
			s := onVT(v)
			f := frame{stay: true}
			now := time.Unix(1000, 0)
			s.add(func(cols, rows int) []line { return f.lines(now, cols, rows) })
			for tick := range 50 {
				f.views = nil
				for i := range many {
					t := downloading(i, fmt.Sprintf("torrent %d", i), float64(1000*(i+tick%3)))
					switch {
					case i == 5:
						t.Paused, t.Reason.Kind = errors.New("no space"), node.ReasonError
					case i <= 6:
						t.Reason = node.Reason{Kind: node.ReasonNoPeers, Lookup: node.Lookup{Kind: node.LookupWaiting, Next: 899 * time.Second}}
					}
					f.views = append(f.views, t)
				}
				now = now.Add(time.Second)
				s.draw()
			}
			if v.History() != "" {
				t.Errorf("the scrollback at %d columns:\n%s", cols, v.History())
			}
			rows, bars := 15, 13
			if many == 500 {
				rows, bars = 10, 8
			}
			for _, want := range []string{fmt.Sprintf("%d torrents ", many), "1 paused by an error, 6 waiting", fmt.Sprintf("torrent %d ", many-1)} {
				if !strings.Contains(v.Text(), want) {
					t.Errorf("at %d columns %q is not on the screen:\n%s", cols, want, v.Text())
				}
			}
			if cols >= 80 && !strings.Contains(v.Text(), "(torrent 5: paused: no space)") {
				t.Errorf("the worst reason is not on the screen:\n%s", v.Text())
			}
			if n := strings.Count(v.Text(), "\n") + 1; n != rows || strings.Count(v.Text(), "torrent ") < bars {
				t.Errorf("%d rows at %d columns:\n%s", n, cols, v.Text())
			}
		}
	}
}

// clock is a clock that tests set.
type clock struct{ t time.Time }

func (c *clock) now() time.Time { return c.t }

// Hashing shows a bar with the rate and the time left, and removes it at the end.
func TestHashingIsDrawn(t *testing.T) {
	v, c := vt.New(80, 24, true), &clock{time.Unix(1000, 0)}
	s := onVT(v)
	h := &HashBar{name: "holiday", now: c.now, screen: s}
	h.section = s.add(h.lines)
	h.Set(0, 1e9)
	if v.Text() != "" {
		t.Errorf("shown at once: %q", v.Text())
	}
	for i := range 5 {
		c.t = c.t.Add(time.Second)
		h.Set(int64(i+1)*1e8, 1e9)
	}
	if got, want := v.Text(), "holiday             ━━━━━━━━━╸┄┄┄┄┄┄┄┄┄ hashing  50 %  100 MB/s  5s"; got != want {
		t.Errorf("\n%s\n%s", got, want)
	}
	h.Close()
	Fprintf(s, "done\n")
	if got := v.Text() + v.History(); got != "done" {
		t.Errorf("left behind: %q", got)
	}
}

// Without a terminal, long hashing prints its progress occasionally.
func TestHashingIsReportedInALog(t *testing.T) {
	var b strings.Builder
	c := &clock{time.Unix(1000, 0)}
	h := &HashBar{name: "a\nb", now: c.now, plain: &b}
	for i := range 25 {
		h.Set(int64(i)*1e7, 1e9)
		c.t = c.t.Add(time.Second)
	}
	want := "a\uFFFDb: hashing, 3 % at 10 MB/s, 1m37s left\na\uFFFDb: hashing, 13 % at 10 MB/s, 1m27s left\na\uFFFDb: hashing, 23 % at 10 MB/s, 1m17s left\n"
	if b.String() != want {
		t.Errorf("%s", b.String())
	}
}

// A log has one line for many torrents, and only if the line has changed.
func TestManyTorrentsAreOneLineOfALog(t *testing.T) {
	var b strings.Builder
	r := plainReporter{out: &b, errs: &b}
	f := frame{}
	for i := range 12 {
		v := downloading(i, fmt.Sprintf("torrent %d", i), 1e6)
		if i == 3 {
			v.Reason = node.Reason{Kind: node.ReasonNoPeers, Lookup: node.Lookup{Kind: node.LookupRunning, Asked: 9}}
		}
		f.views = append(f.views, v)
	}
	now := time.Unix(1000, 0)
	for range 60 {
		r.sayAll(now, func() *frame { return &f })
		now = now.Add(time.Second)
	}
	want := "12 torrents: 1 waiting, 11 downloading (torrent 3: searching the DHT, 9 nodes asked); 42 %, ↓ 12 MB/s, 13m32s left, ↑ 36 kB/s\n"
	if b.String() != want {
		t.Errorf("%q", b.String())
	}
}
