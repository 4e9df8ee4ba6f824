package remotecmd

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/report"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

func list(a *app.App) *cobra.Command {
	var t *Target
	var filter client.Filter
	var order string
	cmd := &cobra.Command{
		Use:   "list",
		Short: "List the torrents of the running daemon",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.Client()
			if err != nil {
				return err
			}
			all, err := c.List(cmd.Context(), filter)
			if err != nil {
				return t.Fail(err)
			}
			if err := sortBy(all, order); err != nil {
				return err
			}
			if len(all) == 0 && filter != (client.Filter{}) {
				a.Say("no torrent matches")
				return nil
			}
			return show(a, all)
		},
	}
	fs := cmd.Flags()
	t = NewTarget(fs)
	fs.StringVar(&filter.Category, "category", "", "only torrents of the category `NAME`")
	fs.StringVar(&filter.Label, "label", "", "only torrents with `LABEL`")
	fs.StringVar(&order, "sort", "number", "sort by `ORDER`: "+orderNames)
	fs.StringVar(&filter.State, "state-is", "", "only torrents in `STATE`, such as downloading or paused")
	return cmd
}

// show prints the torrents, as a table or with --json.
func show(a *app.App, all []*view.Torrent) error {
	if a.JSON {
		for _, o := range all {
			if err := a.Put(o); err != nil {
				return err
			}
		}
		return nil
	}
	if len(all) == 0 {
		a.Say("there are no torrents; add one with seedbed add")
		return nil
	}
	printTable(a, all)
	return nil
}

// printTable prints one line for each torrent, and the totals.
func printTable(a *app.App, all []*view.Torrent) {
	rows := [][]string{{"#", "DONE", "SIZE", "DOWN", "UP", "RATIO", "STATE", "NAME"}}
	var down, up float64
	for _, o := range all {
		rows = append(rows, row(o))
		down, up = down+float64(o.DownRate), up+float64(o.UpRate)
	}
	widths := make([]int, len(rows[0])-1)
	for _, r := range rows {
		for i := range widths {
			widths[i] = max(widths[i], utf8.RuneCountInString(r[i]))
		}
	}
	for _, r := range rows {
		var b strings.Builder
		for i, w := range widths {
			pad := strings.Repeat(" ", w-utf8.RuneCountInString(r[i]))
			if i == 6 { // the state is aligned left, numbers right
				b.WriteString(r[i] + pad + "  ")
				continue
			}
			b.WriteString(pad + r[i] + "  ")
		}
		a.Result("%s%s", b.String(), r[len(r)-1])
	}
	a.Say("%s  ↓ %s  ↑ %s", report.Plural(len(all), "torrent"), report.Rate(down), report.Rate(up))
}

func row(o *view.Torrent) []string {
	dash := func(is bool, s string) string {
		if is {
			return s
		}
		return "-"
	}
	return []string{fmt.Sprint(o.Number), dash(o.Wanted > 0, done(o)), dash(o.Size > 0, report.Size(o.Wanted)),
		dash(o.DownRate > 0, report.Rate(float64(o.DownRate))), dash(o.UpRate > 0, report.Rate(float64(o.UpRate))),
		fmt.Sprintf("%.2f", o.Ratio), o.State, o.Name}
}

// done returns the verified part of a torrent.
func done(o *view.Torrent) string {
	if o.ToCheck > 0 {
		return fmt.Sprintf("%d%%", report.Percent(o.Checked, o.ToCheck))
	}
	return fmt.Sprintf("%d%%", report.Percent(o.Have, o.Wanted))
}

func info(a *app.App) *cobra.Command {
	return onTorrents(a, &cobra.Command{
		Use:   "info ID...",
		Short: "Show everything about torrents of the running daemon",
	}, func(ctx context.Context, t *Target, c *client.Client, id string) error {
		o, err := c.Torrent(ctx, id)
		if err != nil || a.JSON {
			return t.put(a, o, err)
		}
		for _, l := range lines(o) {
			a.Result("%-10s %s", l[0], l[1])
		}
		return nil
	})
}

// lines returns the names and values that info prints.
func lines(o *view.Torrent) [][2]string {
	out := [][2]string{{"number", fmt.Sprint(o.Number)}, {"name", o.Name}, {"infohash", o.InfoHash}, {"state", o.State}}
	if o.Fault != nil {
		out = append(out, [2]string{"problem", o.Fault.Error})
		if o.Fault.Hint != "" {
			out = append(out, [2]string{"", o.Fault.Hint})
		}
	}
	if o.Why != "" && o.Fault == nil { // otherwise it is the problem
		out = append(out, [2]string{"", o.Why})
		if o.Hint != "" {
			out = append(out, [2]string{"", o.Hint})
		}
	}
	out = append(out, [2]string{"folder", o.Dir})
	if o.MoveTo != "" {
		out = append(out, [2]string{"moves to", o.MoveTo})
	} else if o.FinalDir != "" {
		out = append(out, [2]string{"then in", o.FinalDir})
	}
	if o.Size > 0 {
		out = append(out, [2]string{"size", report.Size(o.Size)}, [2]string{"wanted", report.Size(o.Wanted)}, [2]string{"verified", report.Size(o.Have) + " (" + done(o) + ")"})
	}
	out = append(out, [2]string{"down", rateAndLimit(o.DownRate, o.DownLimit)}, [2]string{"up", rateAndLimit(o.UpRate, o.UpLimit)},
		[2]string{"uploaded", fmt.Sprintf("%s (ratio %.2f)", report.Size(o.Uploaded), o.Ratio)},
		[2]string{"peers", peersLine(o)})
	if o.StoreRequests > 0 {
		out = append(out, [2]string{"store", fmt.Sprintf("%s, %s read", report.Plural(int(o.StoreRequests), "request"), report.Size(o.StoreRead))})
	}
	if order := orderLine(o); order != "" {
		out = append(out, [2]string{"order", order})
	}
	if o.Goals != (view.Goals{}) {
		out = append(out, [2]string{"seeds", goalsLine(&o.Goals)})
	}
	if o.Place > 0 {
		out = append(out, [2]string{"place", fmt.Sprint(o.Place)})
	}
	if o.Category != "" {
		out = append(out, [2]string{"category", o.Category})
	}
	if len(o.Labels) > 0 {
		out = append(out, [2]string{"labels", strings.Join(slices.Sorted(slices.Values(o.Labels)), ", ")})
	}
	if o.Added != "" {
		out = append(out, [2]string{"added", o.Added})
	}
	return append(out, [2]string{"link", o.Magnet})
}

func rateAndLimit(rate, limit int64) string {
	if limit == 0 {
		return report.Rate(float64(rate))
	}
	return fmt.Sprintf("%s of at most %s", report.Rate(float64(rate)), report.Rate(float64(limit)))
}

func peers(a *app.App) *cobra.Command {
	return onTorrents(a, &cobra.Command{
		Use:   "peers ID...",
		Short: "List the connected peers of torrents of the running daemon",
	}, func(ctx context.Context, t *Target, c *client.Client, id string) error {
		list, err := c.Peers(ctx, id)
		if err != nil {
			return t.Fail(err)
		}
		if a.JSON {
			return a.Put(&view.TorrentPeers{Connections: list})
		}
		if len(list) == 0 {
			a.Say("no peer is connected")
		}
		for _, p := range list {
			a.Result("%-24s  %-7s  %4.0f%%  ↓ %-10s  ↑ %-10s  %s", p.Addr, over(&p), 100*p.Share, report.Rate(float64(p.DownRate)), report.Rate(float64(p.UpRate)), p.Client)
		}
		return nil
	})
}

// over says how a peer is connected, in at most 7 letters.
func over(p *view.Connection) string {
	if p.HolePunched {
		return "punched" // always over uTP
	}
	return p.Transport
}

// put prints the answer about a torrent with --json.
func (t *Target) put(a *app.App, o *view.Torrent, err error) error {
	if err != nil {
		return t.Fail(err)
	}
	if a.JSON {
		return a.Put(o)
	}
	return nil
}
