package report

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"sync"
	"time"

	"seedbed/node"
	"seedbed/node/lifecycle"
)

// plainReporter prints lines without control codes, for a log file or a pipe. It prints
// progress only occasionally.
type plainReporter struct {
	mu    sync.Mutex
	out   io.Writer
	errs  io.Writer
	quiet bool // only results and errors

	stay bool // complete torrents are seeded

	last map[*node.Torrent]plainLine
	all  plainLine // of all torrents together, if there are many
}

type plainLine struct {
	at   time.Time
	text string
}

const (
	plainEvery = 10 * time.Second // between progress lines of one torrent
	plainCalm  = 3 * time.Second  // delay before the first line on why nothing moves
	plainMany  = 10               // with more torrents than this, one line covers all
)

func (r *plainReporter) say(format string, args ...any) {
	if !r.quiet {
		Fprintf(r.out, format+"\n", args...)
	}
}

func (r *plainReporter) Event(e node.Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if e.Kind == node.Seeding && r.quiet {
		Fprintf(r.out, "%s\n", Exact(e.Magnet))
		return
	}
	if e.Kind == node.PublishedItem && r.quiet {
		Fprintf(r.out, "%s\n", Exact(e.Publication.Link))
		return
	}
	if line := describe(e); line != "" {
		if e.Kind == node.Warning || e.Kind == node.Failed || e.Kind == node.Missed {
			Fprintf(r.errs, "seedbed: %s\n", line)
			return
		}
		r.say("%s", line)
	}
}

// describe formats an event for a person, sanitised. It returns "" if nothing is to be
// printed.
func describe(e node.Event) styled {
	name := e.Name
	switch e.Kind {
	case node.Listening:
		return text("listening on %s", e.Addr)
	case node.Metadata:
		info := e.Info
		line := text("%s: %s in %s, %s of %s", name, Size(info.Payload()),
			Plural(info.Stored(), "file"), Plural(info.NumPieces(), "piece"), PieceLength(info.PieceLength))
		if e.Path != "" {
			line += text("\nwrote %s", Exact(e.Path))
		}
		return line
	case node.Complete:
		return text("%s: complete and verified", name)
	case node.Seeded:
		return text("%s: seeding goal reached (%s sent, ratio %.2f)", name, Size(e.Uploaded), e.Ratio)
	case node.Seeding:
		return text("%s: seeding; link:\n%s", name, Exact(e.Magnet))
	case node.Warning, node.Failed:
		return prefixed(name, Sentence(e.Err))
	case node.Recovered:
		return text("%s: resumed", name)
	case node.PublishedItem:
		return publishedLine(name, e.Publication)
	case node.FoundVersion:
		return text("version %d found, downloading", e.Publication.Seq)
	case node.SwitchedVersion:
		line := text("version %d is current: %s", e.Publication.Seq, Exact(e.Publication.Dir))
		if e.Publication.Reused > 0 {
			line += text(" (%s reused from earlier versions)", Size(e.Publication.Reused))
		}
		return line
	case node.Missed:
		return "some messages were dropped because they were not read in time"
	}
	return "" // added, first piece, removed: other lines say it
}

// text formats a message of ours and sanitises every argument.
func text(format string, args ...any) styled { return styled(Sprintf(format, args...)) }

// publishedLine describes the result of a put.
func publishedLine(name string, p *node.PublicationEvent) styled {
	where := fmt.Sprintf("stored on %d of the %d closest DHT nodes", p.Kept, p.Nodes)
	switch {
	case p.Kept == 0:
		where = "not stored on any DHT node yet; seedbed keeps trying"
	case p.Kept == 1 && p.Nodes == 1:
		where = "stored on the closest DHT node"
	case p.Kept == p.Nodes:
		where = fmt.Sprintf("stored on all %d closest DHT nodes", p.Nodes)
	}
	return text("%s: version %d published, %s\n%s", name, p.Seq, where, Exact(p.Link))
}

func prefixed(name, s string) styled {
	if name == "" {
		return text("%s", s)
	}
	return text("%s: %s", name, s)
}

func (*plainReporter) Every() time.Duration { return time.Second }

func (r *plainReporter) Tick(_ *node.Node, ts []*node.Torrent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.quiet {
		return
	}
	if r.last == nil {
		r.last = map[*node.Torrent]plainLine{}
	}
	now := time.Now()
	maps.DeleteFunc(r.last, func(t *node.Torrent, _ plainLine) bool { return !slices.Contains(ts, t) })
	if len(ts) > plainMany {
		r.sayAll(now, func() *frame {
			f := &frame{stay: r.stay}
			for _, t := range ts {
				f.views = append(f.views, view{name: t.Name(), Snapshot: t.Snapshot()})
			}
			return f
		})
		return
	}
	for _, t := range ts {
		last, told := r.last[t]
		if !told {
			r.last[t] = plainLine{at: now.Add(plainCalm - plainEvery)}
			continue
		}
		if now.Sub(last.at) < plainEvery {
			continue
		}
		if line := status(t.Snapshot()); line != "" && line != last.text {
			r.say("%s: %s", t.Name(), line)
			r.last[t] = plainLine{now, line}
		}
	}
}

// sayAll prints the state of all torrents occasionally, because reading the state of all
// takes long.
func (r *plainReporter) sayAll(now time.Time, look func() *frame) {
	switch {
	case r.all.at.IsZero():
		r.all.at = now.Add(plainCalm - plainEvery)
	case now.Sub(r.all.at) >= plainEvery:
		if line := look().sentence(); line != r.all.text {
			r.say("%s", line)
			r.all.text = line
		}
		r.all.at = now
	}
}

// status describes the state of a torrent in one line, with the peers that it lost.
func status(s node.Snapshot) string {
	line := standing(s)
	if lost := losses(&s); line != "" && lost != "" {
		line += "; " + lost
	}
	return line
}

// standing describes the state of a torrent.
func standing(s node.Snapshot) string {
	switch {
	case s.Reason.Kind != node.ReasonNone:
		return Why(&s)
	case s.State == node.Checking:
		return fmt.Sprintf("checking existing files, %d %%", Percent(s.Checked, s.ToCheck))
	case s.State == lifecycle.Moving:
		return fmt.Sprintf("moving files, %d %%", Percent(s.Checked, s.ToCheck))
	case s.State == node.Downloading:
		line := fmt.Sprintf("%d %%, %s of %s, %s from %s", Percent(s.HaveWanted, s.Wanted),
			Size(s.HaveWanted), Size(s.Wanted), Rate(s.DownRate), Plural(s.Connected, "peer"))
		if eta := TimeLeft(s.Wanted-s.HaveWanted, s.DownRate); eta != "" {
			line += ", " + eta + " left"
		}
		return line
	case s.State == node.SeedingState && s.UpRate >= 1:
		return fmt.Sprintf("seeding at %s to %s", Rate(s.UpRate), Plural(s.Connected, "peer"))
	}
	return ""
}

func Percent(part, whole int64) int64 {
	if whole == 0 {
		return 100
	}
	return int64(float64(part) / float64(whole) * 100)
}

func (r *plainReporter) Ready(ts []*node.Torrent) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(ts) > 1 {
		r.say("all %d torrents are verified and seeding", len(ts))
	}
	r.say("Press Ctrl-C to stop seeding.")
}

func (r *plainReporter) Streaming(t *node.Torrent, files []Stream) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.quiet {
		for _, f := range files {
			Fprintf(r.out, "%s\n", Exact(f.URL))
		}
		return
	}
	for _, line := range streamingLines(t, files) {
		r.say("%s", line)
	}
}

// shownFiles is how many files are listed one by one.
const shownFiles = 20

// streamingLines lists the URLs for a player.
func streamingLines(t *node.Torrent, files []Stream) (lines []styled) {
	lines = append(lines, text("%s: play it at", t.Name()))
	for i, f := range files {
		if i == shownFiles {
			lines = append(lines, text("  and %d more, see %s", len(files)-i, f.Root))
			break
		}
		lines = append(lines, text("  %s  %s", Exact(f.URL), Size(f.Size)))
	}
	return append(lines, "Press Ctrl-C to stop; downloaded data is kept.")
}

func (r *plainReporter) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	Fprintf(r.errs, "seedbed: %s\n", Sentence(err))
}

func (r *plainReporter) Close() {}
