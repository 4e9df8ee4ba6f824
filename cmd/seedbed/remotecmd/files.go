package remotecmd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/option"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// files lists the files of torrents, or changes how urgent they are and the order of their pieces.
func files(a *app.App) *cobra.Command {
	var selection string
	var sequential, firstLast bool
	priority := option.Word{Words: node.PriorityNames}
	cmd := &cobra.Command{
		Use:   "files ID...",
		Short: "List the files of torrents of the running daemon, or change their priority",
		Example: `  seedbed files 3
  seedbed files 3 --priority high --select 1,3-5
  seedbed files 3 --sequential --first-last=false`,
	}
	onTorrents(a, cmd, func(ctx context.Context, t *Target, c *client.Client, id string) error {
		change := api.TorrentChange{Sequential: ifChanged(cmd, "sequential", &sequential), FirstLast: ifChanged(cmd, "first-last", &firstLast)}
		if priority.Value == "" && selection != "" {
			return exit.Misuse(errors.New("--select says which files get another priority: give --priority too"))
		}
		if priority.Value != "" {
			var err error
			if change.Priorities, err = prioritiesOf(ctx, t, c, id, priority.Value, selection); err != nil {
				return err
			}
		}
		if change == (api.TorrentChange{}) {
			return listFiles(ctx, a, t, c, id)
		}
		o, err := c.Change(ctx, id, change)
		if err := t.put(a, o, err); err != nil {
			return err
		}
		a.Say("%s: changed", o.Name)
		return nil
	})
	fs := cmd.Flags()
	fs.Var(&priority, "priority", "give files this priority: peers are asked for the most urgent files first")
	fs.StringVar(&selection, "select", "", "the files that get the priority, `1,3-5` (default: all)")
	fs.BoolVar(&sequential, "sequential", false, "request the pieces in sequence, not the rarest first")
	fs.BoolVar(&firstLast, "first-last", false, "request the first and last pieces of every file first")
	return cmd
}

// prioritiesOf returns the change that gives files a priority. selection "" means all files.
func prioritiesOf(ctx context.Context, t *Target, c *client.Client, id, priority, selection string) (*api.PrioritiesChange, error) {
	var numbers []int
	var err error
	if selection != "" {
		if numbers, err = argument.ParseSelection(selection); err != nil {
			return nil, exit.Misuse(err)
		}
	} else {
		list, err := c.Files(ctx, id)
		if err != nil {
			return nil, t.Fail(err)
		}
		for _, f := range list {
			numbers = append(numbers, f.Number)
		}
	}
	change := new(api.PrioritiesChange)
	to := map[string]*[]int{"low": &change.Low, "normal": &change.Normal, "high": &change.High, "maximum": &change.Maximum}
	*to[priority] = numbers
	return change, nil
}

func listFiles(ctx context.Context, a *app.App, t *Target, c *client.Client, id string) error {
	list, err := c.Files(ctx, id)
	if err != nil {
		return t.Fail(err)
	}
	if a.JSON {
		return a.Put(&view.TorrentFiles{Files: list})
	}
	for _, f := range list {
		mark := " "
		if !f.Selected {
			mark = "-"
		}
		part := 100
		if f.Size > 0 {
			part = int(report.Percent(f.Have, f.Size))
		}
		priority := ""
		if f.Priority != node.PriorityName(node.PriorityNormal) {
			priority = "  (" + f.Priority + ")"
		}
		a.Result("%s%5d  %4d%%  %9s  %s%s", mark, f.Number, part, report.Size(f.Size), f.Path, priority)
	}
	return nil
}

// orderLine describes the order of the pieces; "" if they come rarest first.
func orderLine(o *view.Torrent) string {
	var parts []string
	if o.Sequential {
		parts = append(parts, "in sequence")
	}
	if o.FirstLast {
		parts = append(parts, "first and last pieces of files first")
	}
	return strings.Join(parts, ", ")
}

func peersLine(o *view.Torrent) string {
	line := fmt.Sprintf("%d connected, %d of them complete; %d known", o.Peers, o.Seeds, o.Known)
	if o.MaxPeers > 0 {
		line += fmt.Sprintf("; at most %d", o.MaxPeers)
	}
	return line
}
