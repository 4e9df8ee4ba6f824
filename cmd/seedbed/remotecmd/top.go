package remotecmd

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// topEvery is how often top shows the torrents again.
const topEvery = time.Second

func top(a *app.App) *cobra.Command {
	var t *Target
	cmd := &cobra.Command{
		Use:   "top",
		Short: "Show the busiest torrents of the running daemon until q or Ctrl-C",
		Long: `Show the torrents of the running daemon, the busiest first, and update them every second
until q or Ctrl-C is pressed. If the output is not a terminal, they are listed once.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := t.Client()
			if err != nil {
				return err
			}
			if a.JSON || !report.IsTerminal(a.Stdout.File) {
				all, err := busiest(cmd.Context(), c)
				if err != nil {
					return t.Fail(err)
				}
				return show(a, all)
			}
			return t.watch(cmd.Context(), a, c, cmd.InOrStdin())
		},
	}
	t = NewTarget(cmd.Flags())
	return cmd
}

// watch shows the torrents on the whole terminal until ctx ends or the user quits.
func (t *Target) watch(ctx context.Context, a *app.App, c *client.Client, keys io.Reader) error {
	ctx, quit := context.WithCancel(ctx)
	defer quit()
	screen := a.Output().OpenFullScreen(keys, quit)
	defer screen.Close()
	tick := time.NewTicker(topEvery)
	defer tick.Stop()
	for {
		all, err := busiest(ctx, c)
		switch {
		case ctx.Err() != nil:
			return nil
		case err != nil:
			return t.Fail(err)
		}
		screen.Draw(func() { printTable(a, all[:min(len(all), max(report.Rows(a.Stdout.File)-3, 1))]) })
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// busiest returns all torrents: those that transfer most first, then in the order of their numbers.
func busiest(ctx context.Context, c *client.Client) ([]*view.Torrent, error) {
	all, err := c.List(ctx, client.Filter{})
	if err == nil {
		err = sortBy(all, "activity")
	}
	return all, err
}

// orders are the orders of list and top. Activity, size and ratio are descending.
var orders = map[string]func(a, b *view.Torrent) int{
	"number":   func(a, b *view.Torrent) int { return cmp.Compare(a.Number, b.Number) },
	"name":     func(a, b *view.Torrent) int { return cmp.Compare(a.Name, b.Name) },
	"activity": func(a, b *view.Torrent) int { return cmp.Compare(b.DownRate+b.UpRate, a.DownRate+a.UpRate) },
	"size":     func(a, b *view.Torrent) int { return cmp.Compare(b.Wanted, a.Wanted) },
	"ratio":    func(a, b *view.Torrent) int { return cmp.Compare(b.Ratio, a.Ratio) },
	"state":    func(a, b *view.Torrent) int { return cmp.Compare(a.State, b.State) },
}

const orderNames = "number, name, activity, size, ratio or state"

func sortBy(all []*view.Torrent, order string) error {
	f := orders[order]
	if f == nil {
		return exit.Misuse(fmt.Errorf("--sort %s: the orders are %s", order, orderNames))
	}
	slices.SortStableFunc(all, f)
	return nil
}
