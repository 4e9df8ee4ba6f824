package handover

import (
	"context"
	"errors"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// Examine has a daemon find out why its connections do not work, and calls report with each
// finding as soon as it is known. link and writeStore are as in client.Doctor. The checks of the daemon end by themselves,
// even if ctx ends first.
func Examine(ctx context.Context, to *remotecmd.Target, c *client.Client, link string, writeStore bool, report func(*view.Finding)) error {
	since, err := c.Cursor(ctx)
	if err != nil {
		return to.Fail(err)
	}
	events, err := c.Events(ctx, since)
	if err != nil {
		return to.Fail(err)
	}
	defer events.Close()
	j, err := c.Doctor(ctx, link, writeStore)
	if err != nil {
		return to.Fail(err)
	}
	reported := 0
	j, err = events.Wait(j.Number, func(j *view.Job) {
		for ; reported < len(j.Findings); reported++ {
			report(&j.Findings[reported])
		}
	}, nil)
	switch {
	case errors.Is(err, client.ErrEnded):
		return exit.Fail(exit.Unfinished, "start it again, and run the same command again", errors.New("the daemon has ended before all checks were done"))
	case err != nil:
		return to.Fail(err)
	case j.Fault != nil:
		return failed(j)
	}
	return nil
}
