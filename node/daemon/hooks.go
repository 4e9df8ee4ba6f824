package daemon

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/option"
	"seedbed/node"
	"seedbed/node/daemon/hook"
	"seedbed/node/view"
)

// Hooks are the commands and URLs for events of torrents. No client can change them.
type Hooks struct {
	// Added runs when a torrent was added, Complete when a download is complete and in its final
	// folder, Finished when a seeding goal has stopped a torrent, and Failed when an error has.
	Added, Complete, Finished, Failed option.Command
	// URLs get a POST request with a HookPost for each of these.
	URLs []string
}

// HookPost is the JSON that hooks send.
type HookPost struct {
	Hook string `json:"hook"` // added, complete, finished or failed
	*view.Torrent
}

// hookEvents are the events of the node that run hooks.
var hookEvents = []node.EventKind{node.Complete, node.Seeded, node.Failed, node.Missed}

// runHooks runs the hooks for events.
func (d *Daemon) runHooks(events []node.Event) {
	for _, e := range events {
		switch e.Kind {
		case node.Complete:
			d.completed(e.InfoHash)
		case node.Missed:
			for _, t := range d.node.Torrents() {
				d.completed(t.InfoHash())
			}
		case node.Seeded:
			d.runHook("finished", e.InfoHash, nil)
		case node.Failed:
			d.runHook("failed", e.InfoHash, nil)
		}
	}
}

// completed moves a torrent that is complete to its final folder, and then runs the hooks. A
// torrent reports in each run that it is complete, so the next run does what a kill has prevented.
// The record notes that the hooks have run only afterwards, so they run at least once. They do not
// run for data that was not downloaded.
func (d *Daemon) completed(torrent id.ID) {
	t := d.node.Torrent(torrent)
	if t == nil || !t.IsComplete() {
		return
	}
	now := t.Details()
	mustReport := !now.Reported && !now.Added.IsZero() && t.Totals().Downloaded > 0
	report := func() {
		if mustReport {
			d.runHook("complete", torrent, func() {
				if err := t.SetReported(context.Background()); err != nil && d.node.Context().Err() == nil {
					d.warn("the hooks of a torrent will run again", err)
				}
			})
		}
	}
	if now.FinalDir == "" {
		report()
		return
	}
	d.following.Go(func() {
		err := t.Move(context.Background(), now.FinalDir)
		if err == nil {
			err = t.Settled(context.Background()) // it ends with the node; its failure is an event
		}
		if err == nil || d.node.Context().Err() == nil {
			report()
		}
	})
}

// runHook runs the hooks of an event of a torrent. done, if not nil, is called when they have run.
func (d *Daemon) runHook(event string, torrent id.ID, done func()) {
	t := d.node.Torrent(torrent)
	if t == nil {
		return
	}
	h := d.Settings().Hooks
	command := map[string]option.Command{"added": h.Added, "complete": h.Complete, "finished": h.Finished, "failed": h.Failed}[event]
	j := hook.Job{About: event + ": " + t.Name(), URLs: h.URLs, Done: done}
	if len(command.Words) == 0 && len(h.URLs) == 0 {
		if done != nil {
			d.following.Go(done)
		}
		return
	}
	if len(command.Words) > 0 {
		j.Commands = [][]string{command.Words}
		j.Env = d.hookEnvironment(event, t)
	}
	if len(h.URLs) > 0 {
		o := view.TorrentOf(d.Number(t), t, func(error) string { return "" })
		view.Complete(o, time.Now())
		b, err := json.Marshal(HookPost{event, o})
		if err != nil {
			d.warn("a hook was not run", err)
			return
		}
		j.JSON = b
	}
	d.hooks.Run(j)
}

// hookEnvironment returns the variables that Transmission passes to its scripts, and two of our own.
func (d *Daemon) hookEnvironment(event string, t *node.Torrent) (env []string) {
	now := t.Details()
	for _, v := range [][2]string{
		{"TR_APP_VERSION", d.version},
		{"TR_TIME_LOCALTIME", time.Now().Format(time.ANSIC)},
		{"TR_TORRENT_BYTES_DOWNLOADED", strconv.FormatInt(t.Totals().Downloaded, 10)},
		{"TR_TORRENT_DIR", now.Dir},
		{"TR_TORRENT_HASH", t.InfoHash().String()},
		{"TR_TORRENT_ID", strconv.FormatInt(d.Number(t), 10)},
		{"TR_TORRENT_LABELS", strings.Join(now.Labels, ",")},
		{"TR_TORRENT_NAME", t.Name()},
		{"TR_TORRENT_PRIORITY", "0"},
		{"TR_TORRENT_TRACKERS", ""},
		{"SEEDBED_HOOK", event},
		{"SEEDBED_CATEGORY", now.Category},
	} {
		env = append(env, v[0]+"="+strings.ReplaceAll(v[1], "\x00", "")) // a NUL would end the value
	}
	return env
}
