// Package handover makes a running daemon do the work of a command, and shows its progress as if the
// command did the work itself.
package handover

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/internal/sealed"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// A Download is the run of a command whose torrents a daemon downloads. It ends when all are
// complete; the daemon continues to seed them.
type Download struct {
	App     *app.App
	Target  *remotecmd.Target
	Client  *client.Client
	Body    api.AddBody // of every torrent, without link and torrent
	Flags   *app.Flags  // of the command; the arguments are opened with them
	Timeout time.Duration
	Stay    bool // keep reporting after all are complete
	Hooks   *hook.Hooks
	// Seed, if not nil, makes the daemon seed data that is complete: it returns the torrent of an
	// argument with the folder of the data.
	Seed func(ctx context.Context, arg string) (node.Spec, error)
	// Store is the place in an object store that has the data of torrents with Spec.Objects, which must be that of the
	// daemon.
	Store string

	// Resolve, if not nil, returns the link to the version of a publication that is downloaded.
	Resolve func(ctx context.Context, l *magnet.Link) (*magnet.Link, error)

	toPlay   bool                      // the files are played, not kept
	takesIDs bool                      // arguments can be IDs of torrents that the daemon has
	startNow bool                      // start the torrents even if the queue is full
	addr     string                    // of the daemon's node, for peers
	named    func(*view.Torrent) error // called once when the metadata of the first torrent is known; may be nil

	rep      *report.Feed
	torrents []*torrent
	secrets  map[id.ID]sealed.Secret // of torrents that are private publications
	failed   exit.Failures
	open     int         // neither complete nor failed
	cursor   int64       // of the last changes
	timer    *time.Timer // for Timeout; may be nil
}

// errDone ends reading the events when every torrent is complete or has failed.
var errDone = errors.New("done")

// Run adds the torrents that args name to the daemon and reports until all are complete.
func (d *Download) Run(ctx context.Context, args []string) error {
	return d.App.WithFeed(ctx, d.Stay, func(rep *report.Feed) (err error) {
		d.rep = rep
		if d.Timeout > 0 {
			var cancel context.CancelCauseFunc
			ctx, cancel = context.WithCancelCause(ctx)
			defer cancel(nil)
			d.timer = time.AfterFunc(d.Timeout, func() { cancel(context.DeadlineExceeded) })
			defer d.timer.Stop()
		}
		status, err := d.Client.Node(ctx)
		if err != nil {
			return d.fail(ctx, err)
		}
		if d.Store != "" && status.Store != d.Store {
			return exit.Fail(exit.Usage, "restart the daemon with --store "+d.Store+", or give another --state to run without it", fmt.Errorf("the files are to be in %s, and the object store of the daemon is %s", d.Store, cmp.Or(status.Store, "none")))
		}
		if len(status.Addrs) > 0 {
			d.addr = status.Addrs[0]
		}
		if d.cursor, err = d.Client.Cursor(ctx); err != nil {
			return d.fail(ctx, err)
		}
		events, err := d.Client.Events(ctx, d.cursor)
		if err != nil {
			return d.fail(ctx, err)
		}
		if err := d.addAll(ctx, args); err != nil || d.open == 0 && !d.Stay {
			events.Close()
			d.Hooks.Wait()
			return err
		}
		rep.Follow(knownNode{status}, d.present)
		err = d.watch(ctx, events)
		d.Hooks.Wait()
		if errors.Is(err, errDone) {
			rep.Tick(knownNode{status}, d.present())
			return d.failed.Result(len(args))
		}
		return d.fail(ctx, err)
	})
}

// reconnectAfter is the delay before a lost event stream is opened again.
const reconnectAfter = time.Second

// watch handles the events until one ends the command, and returns its error.
func (d *Download) watch(ctx context.Context, events *client.Events) error {
	for {
		err := events.Read(func(event string, data []byte) error { return d.handle(ctx, event, data) })
		events.Close()
		if !errors.Is(err, client.ErrEnded) {
			return err
		}
		select { // perhaps only the connection has ended
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(reconnectAfter):
		}
		if events, err = d.Client.Events(ctx, d.cursor); err != nil {
			return err
		}
	}
}

// addAll adds the torrents to the daemon. If there are several, an error of one is a warning.
func (d *Download) addAll(ctx context.Context, args []string) error {
	for _, arg := range args {
		err := d.add(ctx, arg)
		if err != nil && (len(args) == 1 || ctx.Err() != nil) {
			return d.fail(ctx, err)
		}
		if err != nil {
			err = d.Target.Fail(err)
			d.rep.Warn(err)
			d.failed.Add(err)
		}
	}
	if d.open == 0 && (!d.Stay || len(d.torrents) == 0) {
		return d.failed.Result(len(args))
	}
	return nil
}

func (d *Download) add(ctx context.Context, arg string) error {
	o, added, err := d.addArg(ctx, arg)
	if err != nil {
		return err
	}
	if d.find(o.InfoHash) != nil { // given twice
		return nil
	}
	switch {
	case added && d.Seed != nil:
		d.App.Say("%s: the daemon checks and seeds it, in %s", report.Exact(o.Name), report.Exact(o.Dir))
	case added:
		d.App.Say("%s: the daemon downloads it into %s", report.Exact(o.Name), report.Exact(o.Dir))
	case d.Seed != nil && isIncomplete(o):
		return exit.Fail(exit.Hash, fmt.Sprintf("if its data is complete now, run seedbed recheck %d", o.Number),
			fmt.Errorf("the daemon has %s already, in %s, and it is not complete there", report.Exact(o.Name), report.Exact(o.Dir)))
	default:
		d.App.Say("%s: the daemon has it already, in %s", report.Exact(o.Name), report.Exact(o.Dir))
		operation := "resume"
		if d.Seed != nil && !o.Complete { // its data may be complete by now
			operation = "recheck"
		}
		if isStopped(o) {
			if o, err = d.Client.Perform(ctx, operation, o.InfoHash); err != nil {
				return err
			}
		}
	}
	if d.startNow && !o.Complete {
		if o, err = d.Client.Perform(ctx, "start", o.InfoHash); err != nil {
			return err
		}
	}
	t, err := newTorrent(o)
	if err != nil {
		return err
	}
	d.torrents = append(d.torrents, t)
	d.open++
	d.note(ctx, t, nil)
	return d.nameFirst(o)
}

// nameFirst calls named if o is the first torrent and its metadata is known.
func (d *Download) nameFirst(o *view.Torrent) error {
	if d.named == nil || o.Size == 0 || o.InfoHash != d.torrents[0].InfoHash().String() {
		return nil
	}
	named := d.named
	d.named = nil
	return named(o)
}

// addArg adds the torrent that arg names, unless the daemon has it.
func (d *Download) addArg(ctx context.Context, arg string) (o *view.Torrent, added bool, err error) {
	if d.takesIDs && argument.IsID(arg) {
		if o, err = d.Client.Torrent(ctx, arg); err != nil {
			err = fmt.Errorf("%s: %w", arg, err)
		}
		return o, false, err
	}
	var spec node.Spec
	body := d.Body
	if d.Seed != nil {
		body.Seed = true
		spec, err = d.Seed(ctx, arg)
	} else {
		spec, err = d.Flags.OpenArgument(ctx, d.App, arg)
	}
	if err != nil {
		return nil, false, err
	}
	if body.Store = body.Store || spec.Objects; body.Seed && !body.Store {
		if body.Dir, err = d.Target.Dir(spec.Dir); err != nil {
			return nil, false, err
		}
	}
	if spec.Link != nil && d.Seed == nil {
		if err := d.checkPrivate(spec.Link); err != nil {
			return nil, false, err
		}
		if spec.Link, err = d.resolve(ctx, spec.Link); err != nil {
			return nil, false, err
		}
		if d.isPrivate(spec.Link.Hash()) { // the folder and the selection are those of the files
			body.Dir, body.Select, body.Overwrite = "", nil, false
		}
	}
	body.SetTorrent(&spec)
	return d.addBody(ctx, body)
}

// finishAdd is how long adding may continue after Ctrl-C, so that the user learns whether the daemon
// has the torrent.
const finishAdd = 2 * time.Second

func (d *Download) addBody(ctx context.Context, body api.AddBody) (*view.Torrent, bool, error) {
	adding, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	defer context.AfterFunc(ctx, func() { time.AfterFunc(finishAdd, cancel) })()
	return d.Client.Add(adding, body)
}

func (d *Download) find(infohash string) *torrent {
	for _, t := range d.torrents {
		if t.InfoHash().String() == infohash {
			return t
		}
	}
	return nil
}

func (d *Download) present() iter.Seq[report.Torrent] {
	return func(yield func(report.Torrent) bool) {
		for _, t := range d.torrents {
			if !yield(t) {
				return
			}
		}
	}
}

// fail returns the error that ends the command before every torrent is complete.
func (d *Download) fail(ctx context.Context, err error) error {
	const hint = "seedbed list shows it; seedbed pause stops it"
	switch {
	case errors.Is(context.Cause(ctx), errDone): // the player has ended
		return nil
	case errors.Is(context.Cause(ctx), context.DeadlineExceeded):
		return exit.Fail(exit.Timeout, hint, fmt.Errorf("not complete after %v: %s; the daemon continues", d.Timeout, d.progress()))
	case ctx.Err() != nil && d.open == 0 && len(d.torrents) > 0:
		return d.failed.Result(len(d.torrents))
	case ctx.Err() != nil && len(d.torrents) == 0:
		return exit.Fail(exit.Unfinished, "", errors.New("stopped before the daemon had the torrent"))
	case ctx.Err() != nil:
		return exit.Fail(exit.Unfinished, hint, fmt.Errorf("stopped watching: %s; the daemon continues", d.progress()))
	case len(d.torrents) > 0 && errors.Is(err, client.ErrNoDaemon):
		return exit.Fail(exit.Unfinished, "start it again, or run the same command again to download without it", fmt.Errorf("the daemon has ended: %s", d.progress()))
	}
	return d.Target.Fail(err)
}

// progress describes the progress of the one incomplete torrent, or counts the complete ones.
func (d *Download) progress() string {
	var open []*torrent
	for _, t := range d.torrents {
		if !t.settled {
			open = append(open, t)
		}
	}
	if len(open) == 1 {
		return report.Progress(open[0].Name(), open[0].Snapshot())
	}
	return fmt.Sprintf("%d of %s complete", len(d.torrents)-len(open), report.Plural(len(d.torrents), "torrent"))
}
