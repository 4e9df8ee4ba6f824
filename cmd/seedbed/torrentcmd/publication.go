package torrentcmd

import (
	"context"
	"errors"
	"fmt"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/query"
	"seedbed/cmd/seedbed/report"
	"seedbed/dht"
	"seedbed/magnet"
	"seedbed/node/view"
)

// showPublication prints what the DHT knows about a publication.
func showPublication(ctx context.Context, a *app.App, v *query.Visitor, link *magnet.Link, s shown) error {
	s.note = nil
	infohash, g, err := v.Newest(ctx, link)
	j := view.Publication{Head: s.Head, Named: s.Named, Found: g.Item != nil, Target: g.Target.String(), Forked: g.Forked, Asked: g.Asked, Answered: g.Answered, Holders: view.HoldersOf(&g)}
	switch {
	case g.Item != nil:
		j.Seq, j.Signature = &g.Item.Seq, "valid"
		if !infohash.IsZero() {
			j.Current = infohash.String()
		}
	case g.Faults.Unsigned > 0:
		j.Signature = "bad"
	}
	if a.JSON {
		if e := a.Put(&j); e != nil {
			return e
		}
	} else if err := printPublication(a, &s, &j, &g); err != nil {
		return err
	}
	if err == nil {
		err = v.RequireAnswer(&g.Report)
	}
	if err == nil && g.Item == nil {
		err = exit.Fail(exit.NotFound, "DHT nodes drop an item two hours after the last publisher, or follower with --keep-alive, has stopped", errors.New("no DHT node returned an item of this key"))
	}
	return err
}

func printPublication(a *app.App, s *shown, j *view.Publication, g *dht.GetReport) error {
	if err := s.print(a.Stdout); err != nil {
		return err
	}
	row := func(label, format string, args ...any) { a.Result("%-10s  "+format, append([]any{label}, args...)...) }
	if g.Item != nil {
		row("version", "%d", g.Item.Seq)
		if j.Current != "" {
			row("current", "%s", j.Current)
		} else {
			row("current", "not a torrent (BEP 46): %s", query.Render(g.Item.Value))
		}
		row("signature", "valid: %x", g.Item.Sig)
	}
	if j.Forked {
		row("warning", "two different items are signed with this version number: the key is used in two places")
	}
	if n := g.Faults.Unsigned; n > 0 {
		row("warning", "%s returned an item that is not signed by the key", report.Plural(n, "node"))
	}
	row("target", "%s", j.Target)
	newest := 0
	var lines []string
	for _, h := range g.Holders {
		if h.Newest {
			newest++
		}
		state := fmt.Sprintf("version %d", h.Seq)
		if h.Bad {
			state = "an invalid item"
		}
		lines = append(lines, query.ContactRow(&h.Contact, g.Target, state))
	}
	row("stored on", "%s of the %d that answered", report.Plural(newest, "node"), g.Answered)
	for _, line := range lines {
		a.Say("  %s", line)
	}
	return nil
}
