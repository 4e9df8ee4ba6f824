package handover

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/node/api"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// Publish makes a daemon publish a file or folder, and reports until it is published. The daemon keeps
// it published.
type Publish struct {
	App      *app.App
	Target   *remotecmd.Target
	Client   *client.Client
	Body     api.PublishBody
	Rollback int64 // if not 0, the earlier version to publish again
	Pins     bool  // publish the list of the daemon's pins, in place of a path
}

// Run publishes.
func (p *Publish) Run(ctx context.Context) error {
	return p.App.WithFeed(ctx, false, func(rep *report.Feed) error {
		keys, err := p.Client.Keys(ctx)
		if err != nil {
			return p.fail(ctx, err)
		}
		j, published, err := p.do(ctx)
		if err != nil {
			return p.fail(ctx, err)
		}
		if j.Fault != nil {
			return failed(j)
		}
		if published != nil {
			rep.Forward(report.Event{Name: p.Body.Key, Object: published})
		} else {
			unchanged := ""
			if j.Unchanged {
				unchanged = "; the content has not changed"
			}
			p.App.Say("%s: version %d is published%s", p.Body.Key, *j.Seq, unchanged)
			p.App.Result("%s", report.Exact(j.Link))
			if j.KeepLink != "" {
				p.App.Say("to keep it alive without reading it:\n%s", report.Exact(j.KeepLink))
			}
		}
		if j.WasShared {
			p.describeTorrent(ctx, rep, j.InfoHash)
		}
		rep.Forward(report.Event{Object: j}) // only with --json
		if !p.App.Quiet && !slices.ContainsFunc(keys, func(k *view.Key) bool { return k.Name == p.Body.Key }) {
			report.Fprintf(p.App.Output().Stderr(), "seedbed: the key %q is new; keep a copy in a safe place: seedbed key export %s -o FILE\n", p.Body.Key, p.Body.Key)
		}
		return nil
	})
}

// describeTorrent tells the user about the torrent of the version, which the session had before and
// which the daemon does not seed if it is stopped.
func (p *Publish) describeTorrent(ctx context.Context, rep *report.Feed, infohash string) {
	o, err := p.Client.Torrent(ctx, infohash)
	if err != nil { // it was removed since, or the daemon is busy
		return
	}
	if isStopped(o) {
		rep.Warn(exit.Fail(exit.Unknown, fmt.Sprintf("seedbed resume %d", o.Number),
			fmt.Errorf("its torrent was in the session already, as number %d, and is %s: followers cannot download it from here", o.Number, o.State)))
		return
	}
	p.App.Say("its torrent was in the session already, as number %d", o.Number)
}

// do starts the job and waits for its end. published is the event of the new version, or nil if
// there is none.
func (p *Publish) do(ctx context.Context) (j *view.Job, published *view.Published, err error) {
	since, err := p.Client.Cursor(ctx)
	if err != nil {
		return nil, nil, err
	}
	events, err := p.Client.Events(ctx, since)
	if err != nil {
		return nil, nil, err
	}
	defer events.Close()
	if j, err = p.start(ctx); err != nil {
		return nil, nil, err
	}
	bar := report.NewHashBar(p.App.Output(), p.Body.Key)
	defer bar.Close()
	seen := map[string]*view.Published{} // by link
	j, err = events.Wait(j.Number, func(j *view.Job) {
		if j.Total > 0 {
			bar.Set(j.Done, j.Total)
		}
	}, func(event string, data []byte) {
		var e view.Published
		if event == "published" && json.Unmarshal(data, &e) == nil {
			seen[e.Link] = &e
		}
	})
	// A version that was there before is put again, and the event of that may come before the end of
	// the job or after it.
	if e := seen[j.Link]; e != nil && j.Seq != nil && e.Seq == *j.Seq && !j.Unchanged {
		published = e
	}
	return j, published, err
}

func (p *Publish) start(ctx context.Context) (*view.Job, error) {
	if p.Pins {
		return p.Client.PublishPins(ctx, api.PinListBody{Key: p.Body.Key, Salt: p.Body.Salt})
	}
	if p.Rollback == 0 {
		return p.Client.Publish(ctx, p.Body)
	}
	all, err := p.Client.Publications(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, one := range all {
		if one.Name == p.Body.Key && one.Salt == p.Body.Salt {
			return p.Client.Rollback(ctx, one.Target, p.Rollback, p.Body.Overrule)
		}
	}
	return nil, errNotPublished(p.Body.Key)
}

func errNotPublished(key string) error {
	return exit.Fail(exit.NotFound, "seedbed publications lists what it publishes; publications of one key differ by --salt", fmt.Errorf("the daemon publishes nothing under the key %q", key))
}

// failed returns the error of a job.
func failed(j *view.Job) error {
	return exit.Fail(exit.OfFault(j.Fault.Kind), j.Fault.Hint, errors.New(j.Fault.Error))
}

func (p *Publish) fail(ctx context.Context, err error) error {
	switch {
	case ctx.Err() != nil:
		return exit.Fail(exit.Unfinished, "", errors.New("stopped watching; the daemon continues"))
	case errors.Is(err, client.ErrEnded):
		return exit.Fail(exit.Unfinished, "start it again, and run the same command again", errors.New("the daemon has ended before it was published"))
	}
	return p.Target.Fail(err)
}
