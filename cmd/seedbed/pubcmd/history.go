package pubcmd

import (
	"context"
	"fmt"
	"strconv"
	"time"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/node/api"
	"seedbed/node/publish"
	"seedbed/node/view"
)

// showHistory lists the versions published under a key: those on record in the state directory,
// or those of the daemon with --daemon.
func (p *publishing) showHistory(ctx context.Context, t *remotecmd.Target, state string) error {
	name, salt := p.history, p.salt
	var list []*view.History
	var unread error
	if t.IsLocal() {
		var recorded []publish.Published
		recorded, unread = publish.List(state)
		for i := range recorded {
			list = append(list, api.HistoryOf(&recorded[i]))
		}
	} else {
		c, err := t.Client()
		if err != nil {
			return err
		}
		if list, err = c.Publications(ctx, true); err != nil {
			return t.Fail(err)
		}
	}
	for _, h := range list {
		if h.Name != name || h.Salt != salt {
			continue
		}
		if p.JSON {
			return p.Put(h)
		}
		ended := ""
		if h.Ended {
			ended = ", no longer published"
		}
		p.Say("%s, from %s%s", report.Exact(h.Link), report.Exact(h.Path), ended)
		width := 0
		for _, v := range h.Versions {
			width = max(width, len(strconv.FormatInt(v.Seq, 10)))
		}
		for _, v := range h.Versions {
			at := v.Time
			if signed, err := time.Parse(time.RFC3339Nano, v.Time); err == nil {
				at = signed.Local().Format("2006-01-02 15:04:05")
			}
			p.Result("%*d  %s  %s  %8s in %s", width, v.Seq, at, v.InfoHash, report.Size(v.Size), report.Plural(v.FileCount, "file"))
		}
		return nil
	}
	if unread != nil {
		return unread
	}
	return exit.Fail(exit.NotFound, "list keys with seedbed key list; publications of one key differ by --salt", fmt.Errorf("nothing was published under the key %q", name))
}
