package daemon

import (
	"fmt"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/internal/excerpt"
	"seedbed/internal/id"
	"seedbed/internal/option"
	"seedbed/node"
)

const (
	// loggedTorrents is the number of torrents whose log is kept: those with the latest events.
	// Together the logs take a few MB at most, whatever the number of torrents.
	loggedTorrents = 500
	// loggedEvents is the number of the latest events that the log of a torrent has.
	loggedEvents = 50
	// maxLogText limits the text of an event, in bytes. An error may contain names of files.
	maxLogText = 300
)

// LogEntry is an event in the log of a torrent.
type LogEntry struct {
	Time  time.Time
	Kind  node.EventKind
	Text  string
	Err   error  // of a warning or a failure
	Phase string // that the torrent has entered
}

// torrentLog has the latest events of torrents in memory. A restart forgets them.
type torrentLog struct {
	mu  sync.Mutex
	lru *simplelru.LRU[id.ID, []LogEntry] // oldest first
}

// logged are the events in the log of a torrent.
var logged = []node.EventKind{node.Added, node.Changed, node.Metadata, node.FirstPiece, node.Complete, node.Seeded, node.Warning, node.Recovered,
	node.Failed, node.Removed, node.FoundVersion, node.SwitchedVersion}

// logEvents keeps the logs up to date, until the node ends.
func (d *Daemon) logEvents(events *node.Subscription) {
	for range events.Ready() {
		for _, e := range events.Take() {
			d.torrentLog.note(&e, d.node)
		}
	}
}

// note adds an event.
func (l *torrentLog) note(e *node.Event, n *node.Node) {
	if e.InfoHash.IsZero() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lru == nil {
		l.lru, _ = simplelru.NewLRU[id.ID, []LogEntry](loggedTorrents, nil) // the size is positive
	}
	if e.Kind == node.Removed {
		l.lru.Remove(e.InfoHash)
		return
	}
	list, _ := l.lru.Get(e.InfoHash)
	entry := LogEntry{Time: e.Time, Kind: e.Kind, Text: excerpt.Of(logText(e), maxLogText), Err: e.Err}
	if e.Kind == node.Changed {
		t := n.Torrent(e.InfoHash)
		if t == nil {
			return
		}
		entry.Phase = t.Phase().String()
		if entry.Phase == lastPhase(list) { // something else has changed
			return
		}
		entry.Text = "it is " + phaseText(entry.Phase)
	}
	if len(list) == loggedEvents {
		list = slices.Delete(list, 0, 1)
	}
	l.lru.Add(e.InfoHash, append(list, entry))
}

// lastPhase returns the phase that a torrent has entered last, or "".
func lastPhase(list []LogEntry) string {
	for _, e := range slices.Backward(list) {
		if e.Phase != "" {
			return e.Phase
		}
	}
	return ""
}

// phaseText describes a phase.
func phaseText(phase string) string {
	switch phase {
	case "metadata":
		return "fetching the metadata"
	case "checking", "downloading", "seeding", "moving":
		return phase
	case "parked":
		return "seeding, with no connection now"
	case "missing":
		return "stopped: its data is not there"
	case "failed":
		return "stopped by an error"
	}
	return phase
}

// logText describes an event.
func logText(e *node.Event) string {
	switch e.Kind {
	case node.Added:
		return "it was added"
	case node.Metadata:
		files := "1 file"
		if n := e.Info.Stored(); n != 1 {
			files = fmt.Sprintf("%d files", n)
		}
		return fmt.Sprintf("the metadata is known: %s in %s", option.FormatSize(e.Info.Payload()), files)
	case node.FirstPiece:
		return "the first piece of this run is verified"
	case node.Complete:
		return "every wanted file is complete"
	case node.Seeded:
		return fmt.Sprintf("the seeding goal %s is reached; %s were uploaded", e.Goal, option.FormatSize(e.Uploaded))
	case node.Recovered:
		return "the problem is solved"
	case node.FoundVersion:
		return fmt.Sprintf("version %d was found", e.Publication.Seq)
	case node.SwitchedVersion:
		return fmt.Sprintf("version %d is complete and is the current one", e.Publication.Seq)
	case node.Warning, node.Failed:
		return e.Err.Error()
	}
	return ""
}

// Log returns the latest events of a torrent, oldest first.
func (d *Daemon) Log(hash id.ID) []LogEntry {
	l := &d.torrentLog
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.lru == nil {
		return nil
	}
	list, _ := l.lru.Peek(hash)
	return slices.Clone(list)
}
