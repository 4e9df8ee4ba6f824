package report

import (
	"bytes"
	"errors"
	"strings"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/vt"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// Names, links, folders and errors from others control neither a log nor a terminal, in any
// event of any command, publish and follow among them.
func TestHostileTextInEveryEvent(t *testing.T) {
	const bad = "x\x1b]0;owned\a\x1b[2J\u009b31m\u202e\u2066\x85\xff\r\nfake line\t\x7f"
	for _, k := range node.EventKinds() {
		e := node.Event{Kind: k, Time: time.Now(), InfoHash: id.ID{1}, Name: bad, Err: errors.New(bad), Addr: bad, Magnet: bad, Path: bad,
			Info: &metainfo.Info{Name: bad}, Publication: &node.PublicationEvent{Link: bad, Seq: 2, InfoHash: bad, Dir: bad, Reused: 5, Stored: 1, Nodes: 2}, Reachability: &node.Reachability{}}
		var lines, quiet, object bytes.Buffer
		(&plainReporter{out: &lines, errs: &lines}).Event(EventOf(&e))
		(&plainReporter{out: &quiet, errs: &quiet, quiet: true}).Event(EventOf(&e))
		NewJSON(EscapeJSON(&object)).Event(EventOf(&e))
		v := vt.New(80, 20, true)
		newLiveReporter(&Output{live: onVT(v)}, true).Event(EventOf(&e))
		for form, out := range map[string]string{"plain": lines.String(), "quiet": quiet.String(), "json": object.String(), "bars": v.Text()} {
			if r := raw(strings.ReplaceAll(out, "\n", "")); r >= 0 {
				t.Errorf("event %d, %s: %U in %q", k, form, r, out)
			}
			for line := range strings.SplitSeq(out, "\n") {
				if strings.HasPrefix(line, "fake line") {
					t.Errorf("event %d, %s: a name begins a line: %q", k, form, out)
				}
			}
		}
		if n := strings.Count(object.String(), "\n"); n != 1 && k != node.Changed {
			t.Errorf("event %d: %d lines of JSON", k, n)
		}
	}
}
