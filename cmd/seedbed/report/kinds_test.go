package report

import (
	"bytes"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/vt"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// Each kind of event has a case in each reporter, or is listed here with the reason why
// people do not see it.
func TestEveryEventHasACaseInEachReporter(t *testing.T) {
	silent := map[node.EventKind]string{
		node.Added:      "the metadata that follows names it",
		node.FirstPiece: "the progress shows it",
		node.Removed:    "the error or the goal that ended it was reported",
	}
	quiet := []node.EventKind{node.Seeding, node.PublishedItem, node.Warning, node.Failed, node.Missed}
	for _, k := range node.EventKinds() {
		if k == node.Changed { // for programs that read the state of the torrent then
			continue
		}
		e := node.Event{Kind: k, Time: time.Now(), InfoHash: id.ID{1}, Name: "film", Err: errors.New("the disk is full"), Addr: "127.0.0.1:1",
			Magnet: "magnet:?xt=urn:btih:1", Info: &metainfo.Info{}, Publication: &node.PublicationEvent{Link: "magnet:?xs=urn:btpk:1"},
			Reachability: &node.Reachability{}}
		_, isSilent := silent[k]
		var out bytes.Buffer
		NewJSON(&out).Event(EventOf(&e))
		if !strings.HasPrefix(out.String(), `{"event":"`) || strings.Count(out.String(), "\n") != 1 {
			t.Errorf("event %d as JSON: %q", k, out.String())
		}
		out.Reset()
		(&plainReporter{out: &out, errs: &out}).Event(EventOf(&e))
		if isSilent != (out.Len() == 0) {
			t.Errorf("event %d in plain lines: %q", k, out.String())
		}
		out.Reset()
		(&plainReporter{out: &out, errs: &out, quiet: true}).Event(EventOf(&e))
		if slices.Contains(quiet, k) != (out.Len() > 0) {
			t.Errorf("event %d with --quiet: %q", k, out.String())
		}
		v := vt.New(80, 10, true)
		newLiveReporter(&Output{live: onVT(v)}, true).Event(EventOf(&e))
		if isSilent != (strings.TrimSpace(v.Text()) == "") {
			t.Errorf("event %d above bars: %q", k, v.Text())
		}
	}
}

// What is in an object store is not called verified: nobody has read it.
func TestObjectsAreNotCalledVerified(t *testing.T) {
	for place, want := range map[string]string{
		"":                  "film: complete and verified\n",
		"s3://bucket/films": "film: in s3://bucket/films; each block is verified before it is sent\n",
	} {
		var out bytes.Buffer
		(&plainReporter{out: &out, errs: &out}).Event(EventOf(&node.Event{Kind: node.Complete, Name: "film", InfoHash: id.ID{1}, Path: place}))
		if out.String() != want {
			t.Errorf("%q: %q", place, out.String())
		}
	}
}
