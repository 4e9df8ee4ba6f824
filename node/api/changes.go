package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"time"

	"github.com/danielgtaylor/huma/v2"

	"seedbed/node"
	"seedbed/node/daemon"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// Changes is what has happened since a cursor.
type Changes struct {
	Cursor  int64           `json:"cursor,string" doc:"The cursor for the next request."`
	Resync  bool            `json:"resync,omitempty" doc:"The cursor was too old: changed lists every torrent, and no other exists any more."`
	Changed []*view.Torrent `json:"changed,omitempty" doc:"Torrents that are new or had an event."`
	Removed []string        `json:"removed,omitempty" doc:"Infohashes of torrents that were removed."`
}

type changesInput struct {
	Since int64 `query:"since" doc:"The cursor of the last answer; without it, every torrent is listed."`
}

func (a *api) addChanges() {
	huma.Register(a.huma, operation(http.MethodGet, "/v1/changes", "list-changes", "List what has changed since a cursor", token.Read),
		func(_ context.Context, in *changesInput) (*struct{ Body *Changes }, error) {
			return &struct{ Body *Changes }{a.changes(in.Since)}, nil
		})
}

// changes returns what has happened since a cursor.
func (a *api) changes(since int64) *Changes {
	c := a.Node().Changes(node.Cursor(since))
	out := &Changes{Cursor: int64(c.Next), Resync: c.Resync}
	for _, hash := range c.Changed {
		if t := a.Node().Torrent(hash); t != nil {
			out.Changed = append(out.Changed, a.torrent(t))
		}
	}
	for _, hash := range c.Removed {
		out.Removed = append(out.Removed, hash.String())
	}
	return out
}

// writeWithin is how long one write of the event stream may take. A client that reads nothing for
// this long is disconnected.
const writeWithin = 30 * time.Second

// events serves the event stream (server-sent events). Each event "changes" has the object of
// /v1/changes, and its id is the cursor. The other events are the objects of --json, such as
// warning. A client that reads slowly gets fewer and larger events.
func (a *api) events(w http.ResponseWriter, r *http.Request) {
	since, err := strconv.ParseInt(r.Header.Get("Last-Event-ID"), 10, 64)
	if err != nil {
		since = 0
	}
	s := eventStream{a: a, w: w, to: http.NewResponseController(w), cursor: since}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no") // otherwise nginx buffers the events
	w.WriteHeader(http.StatusOK)
	s.run(r.Context())
}

// An eventStream is one connection to the event stream.
type eventStream struct {
	a      *api
	w      http.ResponseWriter
	to     *http.ResponseController
	cursor int64
	jobs   int64 // the last change of a job that was sent
	tick   int64 // the last tick of progress that was sent
}

func (s *eventStream) run(ctx context.Context) {
	n := s.a.Node()
	sub := n.Subscribe()
	defer sub.Close()
	jobs, stop := s.a.WatchJobs()
	defer stop()
	_, s.jobs = s.a.Jobs(0)
	defer s.a.progress.join()()
	looked := s.a.progress.next()
	err := s.changes()
	for err == nil {
		select {
		case _, open := <-sub.Ready():
			if !open {
				return
			}
			err = s.forward(sub.Take())
		case <-jobs:
			err = s.changedJobs(sub)
		case <-looked:
			looked = s.a.progress.next()
			err = s.progress()
		case <-s.a.cfg.Ending:
			return
		case <-ctx.Done():
			return
		case <-n.Context().Done():
			return
		}
	}
}

// forward sends the changes of torrents, and those events that have an object of their own.
func (s *eventStream) forward(events []node.Event) error {
	changed := false
	for i := range events {
		e := &events[i]
		changed = changed || !e.InfoHash.IsZero() || e.Kind == node.Missed
		if o := view.Event(e, s.a.cfg.Hint); o != nil {
			if err := s.write("", view.Complete(o, e.Time), o); err != nil {
				return err
			}
		}
	}
	if !changed {
		return s.flush()
	}
	return s.changes()
}

// changedJobs sends the jobs that have changed, after the events up to then: a client that reads the
// end of a job has read what the job did.
func (s *eventStream) changedJobs(sub *node.Subscription) error {
	var changed []*daemon.Job
	changed, s.jobs = s.a.Jobs(s.jobs)
	objects := make([]*view.Job, len(changed))
	for i, j := range changed {
		objects[i] = s.a.job(j)
	}
	if events := sub.Take(); len(events) > 0 {
		if err := s.forward(events); err != nil {
			return err
		}
	}
	for _, o := range objects {
		if err := s.write("", "job", o); err != nil {
			return err
		}
	}
	return s.flush()
}

// progress sends the torrents whose progress has changed without an event, or a comment that keeps
// the connection open.
func (s *eventStream) progress() error {
	var changed []json.RawMessage
	if changed, s.tick = s.a.progress.since(s.tick); len(changed) > 0 {
		if err := s.write(strconv.FormatInt(s.cursor, 10), "changes", &struct {
			Cursor  int64             `json:"cursor,string"`
			Changed []json.RawMessage `json:"changed"`
		}{s.cursor, changed}); err != nil {
			return err
		}
		return s.flush()
	}
	if err := s.line(": \n\n"); err != nil {
		return err
	}
	return s.flush()
}

// changes sends what has happened since the cursor. It encodes one torrent after the other: a list of 100,000 torrents
// has 100 MB, and each client that reads slowly, or never, would hold one.
func (s *eventStream) changes() error {
	c := s.a.Node().Changes(node.Cursor(s.cursor))
	out := Changes{Cursor: int64(c.Next), Resync: c.Resync}
	for _, hash := range c.Removed {
		out.Removed = append(out.Removed, hash.String())
	}
	head, err := json.Marshal(&out)
	if err != nil {
		return err
	}
	s.cursor = out.Cursor
	if err := s.line(fmt.Sprintf("id: %d\nevent: changes\ndata: %s", s.cursor, head[:len(head)-1])); err != nil {
		return err
	}
	end, before := "}\n\n", `,"changed":[`
	for _, hash := range c.Changed {
		t := s.a.Node().Torrent(hash)
		if t == nil {
			continue
		}
		b, err := json.Marshal(s.a.torrent(t))
		if err != nil {
			return err
		}
		if err := s.line(before + string(b)); err != nil {
			return err
		}
		end, before = "]}\n\n", ","
	}
	if err := s.line(end); err != nil {
		return err
	}
	return s.flush()
}

func (s *eventStream) write(id, event string, data any) error {
	b, err := json.Marshal(data)
	if err != nil {
		return err
	}
	if id != "" {
		id = "id: " + id + "\n"
	}
	return s.line(fmt.Sprintf("%sevent: %s\ndata: %s\n\n", id, event, b))
}

func (s *eventStream) line(text string) error {
	_ = s.to.SetWriteDeadline(time.Now().Add(writeWithin)) // a writer without deadlines has none
	_, err := s.w.Write([]byte(text))
	return err
}

func (s *eventStream) flush() error { return s.to.Flush() }
