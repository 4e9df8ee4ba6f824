package handover

import (
	"context"
	"errors"
	"time"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/node/api"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// Follow makes a daemon follow a publication, and reports until a version is complete.
type Follow struct {
	App     *app.App
	Target  *remotecmd.Target
	Client  *client.Client
	Body    api.FollowBody
	Timeout time.Duration
	Hooks   *hook.Hooks
}

// Run follows.
func (f *Follow) Run(ctx context.Context) error {
	return f.App.WithFeed(ctx, false, func(rep *report.Feed) error {
		if f.Timeout > 0 {
			var cancel context.CancelFunc
			ctx, cancel = context.WithTimeout(ctx, f.Timeout)
			defer cancel()
		}
		since, err := f.Client.Cursor(ctx)
		if err != nil {
			return f.fail(ctx, err)
		}
		events, err := f.Client.Events(ctx, since)
		if err != nil {
			return f.fail(ctx, err)
		}
		defer events.Close()
		o, added, err := f.Client.Follow(ctx, f.Body)
		if err != nil {
			return f.fail(ctx, err)
		}
		verb := "follows it"
		if !added {
			verb = "follows it already"
		}
		f.App.Say("the daemon %s, in %s", verb, report.Exact(o.Dir))
		if o.Seq != nil {
			rep.Forward(report.Event{Object: o}) // only with --json
			f.App.Say("version %d is current: %s", *o.Seq, report.Exact(o.Folder))
			return nil
		}
		err = events.Read(func(event string, data []byte) error { return f.handle(rep, o.Link, event, data) })
		if errors.Is(err, errDone) {
			f.Hooks.Wait()
			return nil
		}
		return f.fail(ctx, err)
	})
}

// handle reports the events of the publication with this link, until a version is complete.
func (f *Follow) handle(rep *report.Feed, link, event string, data []byte) error {
	o, err := view.Decode(event, data)
	if err != nil {
		return nil // changes and job
	}
	switch e := o.(type) {
	case *view.Version:
		if e.Link == link {
			rep.Forward(report.Event{Object: e})
		}
	case *view.Current:
		if e.Link == link {
			rep.Forward(report.Event{Object: e})
			f.Hooks.Run(hook.Completed{InfoHash: e.InfoHash, Dir: e.Dir})
			return errDone
		}
	}
	return nil
}

func (f *Follow) fail(ctx context.Context, err error) error {
	switch {
	case errors.Is(ctx.Err(), context.DeadlineExceeded):
		return exit.Fail(exit.Timeout, "use a longer --timeout, or run seedbed show with the link", errors.New("no version finished downloading in time; the daemon continues"))
	case ctx.Err() != nil:
		return exit.Fail(exit.Unfinished, "", errors.New("stopped watching; the daemon continues"))
	case errors.Is(err, client.ErrEnded):
		return exit.Fail(exit.Unfinished, "start it again; it continues then", errors.New("the daemon has ended before a version was complete"))
	}
	return f.Target.Fail(err)
}
