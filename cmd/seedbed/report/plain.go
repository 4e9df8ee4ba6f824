package report

import (
	"fmt"
	"io"
	"iter"
	"strings"
	"sync"
	"time"

	"seedbed/internal/id"
	"seedbed/node"
	"seedbed/node/lifecycle"
	objects "seedbed/node/view"
)

// plainReporter prints lines without control codes, for a log file or a pipe. It prints
// progress only occasionally.
type plainReporter struct {
	mu    sync.Mutex
	out   io.Writer
	errs  io.Writer
	quiet bool // only results and errors

	stay bool // complete torrents are seeded

	last map[id.ID]plainLine
	all  plainLine // of all torrents together, if there are many
}

type plainLine struct {
	at   time.Time
	text string
}

const (
	plainEvery = 10 * time.Second // between progress lines of one torrent
	plainDelay = 3 * time.Second  // delay before the first progress line
	plainMany  = 10               // with more torrents than this, one line covers all
)

func (r *plainReporter) say(format string, args ...any) {
	if !r.quiet {
		Fprintf(r.out, format+"\n", args...)
	}
}

func (r *plainReporter) Event(e Event) {
	r.mu.Lock()
	defer r.mu.Unlock()
	line := describe(e)
	switch o := e.Object.(type) {
	case *objects.Warning, *objects.Failed, *objects.Missed:
		Fprintf(r.errs, "seedbed: %s\n", line)
		return
	case *objects.Seeding:
		if r.quiet {
			Fprintf(r.out, "%s\n", Exact(o.Magnet))
		}
	case *objects.Published:
		if r.quiet {
			Fprintf(r.out, "%s\n", Exact(o.Link))
		}
	}
	if line != "" {
		r.say("%s", line)
	}
}

// describe formats an event for a person, sanitised. It returns "" if nothing is to be
// printed.
func describe(e Event) styled {
	name := e.Name
	switch o := e.Object.(type) {
	case *objects.Listening:
		return text("listening on %s", o.Addr)
	case *objects.Mapped:
		return text("reachable at %s: mapped by %s in the router %s", o.Addr, o.Method, o.Router)
	case *objects.Reachability:
		return prefixed(strings.Replace(o.Family, "ip", "IP", 1), sentence(o.Text, o.Hint))
	case *objects.NetworkChanged:
		return text("%s", o.Text())
	case *objects.Metadata:
		line := text("%s: %s in %s, %s of %s", name, Size(o.Size),
			Plural(len(o.Files), "file"), Plural(o.Pieces, "piece"), PieceLength(o.PieceLength))
		if o.Torrent != "" {
			line += text("\nwrote %s", Exact(o.Torrent))
		}
		return line
	case *objects.Completed:
		if o.Store != "" {
			return text("%s: in %s; each block is verified before it is sent", name, o.Store)
		}
		return text("%s: complete and verified", name)
	case *objects.Seeded:
		return text("%s: seeding goal reached (%s sent, ratio %.2f)", name, Size(o.Uploaded), o.Ratio)
	case *objects.Seeding:
		return text("%s: seeding; link:\n%s", name, Exact(o.Magnet))
	case *objects.Warning:
		return prefixed(name, sentence(o.Error, o.Hint))
	case *objects.Failed:
		return prefixed(name, sentence(o.Error, o.Hint))
	case *objects.Recovered:
		return text("%s: resumed", name)
	case *objects.Published:
		return publishedLine(name, o)
	case *objects.Version:
		return text("version %d found, downloading", o.Seq)
	case *objects.Current:
		line := text("version %d is current: %s", o.Seq, Exact(o.Dir))
		if o.Reused > 0 {
			line += text(" (%s reused from earlier versions)", Size(o.Reused))
		}
		return line
	case *objects.Missed:
		return "some messages were dropped because they were not read in time"
	}
	return "" // for example Added and FirstPiece, which other lines imply
}

// text formats a message of ours and sanitises every argument.
func text(format string, args ...any) styled { return styled(Sprintf(format, args...)) }

// publishedLine describes the result of a put.
func publishedLine(name string, p *objects.Published) styled {
	where := fmt.Sprintf("stored on %d of the %d closest DHT nodes", p.Kept, p.Nodes)
	switch {
	case p.Kept == 0:
		where = "not stored on any DHT node yet; seedbed keeps trying"
	case p.Kept == 1 && p.Nodes == 1:
		where = "stored on the closest DHT node"
	case p.Kept == p.Nodes:
		where = fmt.Sprintf("stored on all %d closest DHT nodes", p.Nodes)
	}
	line := text("%s: version %d published, %s\n%s", name, p.Seq, where, Exact(p.Link))
	if p.KeepLink != "" {
		line += text("\nto keep it alive without reading it:\n%s", Exact(p.KeepLink))
	}
	return line
}

func prefixed(name, s string) styled {
	if name == "" {
		return text("%s", s)
	}
	return text("%s: %s", name, s)
}

func (*plainReporter) Every() time.Duration { return time.Second }

func (r *plainReporter) Tick(_ Node, ts iter.Seq[Torrent]) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.quiet {
		return
	}
	now := time.Now()
	var few []Torrent
	for t := range ts {
		if len(few) == plainMany {
			r.sayAll(now, func() *frame {
				f := &frame{stay: r.stay}
				for t := range ts {
					f.views = append(f.views, view{name: t.Name(), Snapshot: t.Snapshot()})
				}
				return f
			})
			return
		}
		few = append(few, t)
	}
	before := r.last
	r.last = map[id.ID]plainLine{}
	for _, t := range few {
		last, isKnown := before[t.InfoHash()]
		switch {
		case !isKnown:
			last = plainLine{at: now.Add(plainDelay - plainEvery)}
		case now.Sub(last.at) >= plainEvery:
			if line := status(t.Snapshot()); line != "" && line != last.text {
				r.say("%s: %s", t.Name(), line)
				last = plainLine{now, line}
			}
		}
		r.last[t.InfoHash()] = last
	}
}

// sayAll prints the state of all torrents together, at most once in plainEvery. look reads
// their state, which takes long.
func (r *plainReporter) sayAll(now time.Time, look func() *frame) {
	switch {
	case r.all.at.IsZero():
		r.all.at = now.Add(plainDelay - plainEvery)
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
	line := stateText(s)
	if lost := losses(&s); line != "" && lost != "" {
		line += "; " + lost
	}
	return line
}

// stateText describes the state of a torrent.
func stateText(s node.Snapshot) string {
	switch {
	case s.Reason.Kind != node.ReasonNone:
		return Why(&s)
	case s.State == lifecycle.Checking:
		return fmt.Sprintf("checking existing files, %d %%", Percent(s.Checked, s.ToCheck))
	case s.State == lifecycle.Moving:
		return fmt.Sprintf("moving files, %d %%", Percent(s.Checked, s.ToCheck))
	case s.State == lifecycle.Downloading:
		line := fmt.Sprintf("%d %%, %s of %s, %s from %s", Percent(s.HaveWanted, s.Wanted),
			Size(s.HaveWanted), Size(s.Wanted), Rate(s.DownRate), Plural(s.Connected, "peer"))
		if eta := TimeLeft(s.Wanted-s.HaveWanted, s.DownRate); eta != "" {
			line += ", " + eta + " left"
		}
		return line
	case s.State == lifecycle.Seeding && s.UpRate >= 1:
		return fmt.Sprintf("seeding at %s to %s", Rate(s.UpRate), Plural(s.Connected, "peer"))
	}
	return ""
}

// Percent returns part as a percentage of whole, rounded down, or 100 if whole is 0.
func Percent(part, whole int64) int64 {
	if whole == 0 {
		return 100
	}
	return int64(float64(part) / float64(whole) * 100)
}

func (r *plainReporter) Ready(torrents int) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if torrents > 1 {
		r.say("all %d torrents are verified and seeding", torrents)
	}
	r.say("Press Ctrl-C to stop seeding.")
}

func (r *plainReporter) Streaming(t Torrent, files []Stream) {
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

// shownFiles is the maximum number of files that are listed.
const shownFiles = 20

// streamingLines lists the URLs for a player.
func streamingLines(t Torrent, files []Stream) (lines []styled) {
	lines = append(lines, text("%s: play it at", t.Name()))
	for i, f := range files {
		if i == shownFiles {
			lines = append(lines, text("  and %d more, see %s", len(files)-i, f.Root))
			break
		}
		lines = append(lines, text("  %s  %s", Exact(f.URL), Size(f.Size)))
	}
	if len(files) > 0 && files[0].ByDaemon {
		return append(lines, "Press Ctrl-C to stop watching; the daemon continues.")
	}
	return append(lines, "Press Ctrl-C to stop; downloaded data is kept.")
}

func (r *plainReporter) Fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	Fprintf(r.errs, "seedbed: %s\n", Sentence(err))
}

func (r *plainReporter) Close() {}
