package torrentcmd

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/node"
	"seedbed/node/view"
)

// Check returns the command check.
func Check(a *app.App) *cobra.Command {
	var c app.Flags
	cmd := &cobra.Command{
		Use:   "check MAGNET|INFOHASH|FILE.torrent|URL...",
		Short: "Re-check the files in --dir and report missing or damaged pieces",
		Long: `Re-check the data of torrents and correct the resume records. It works offline, except
that it fetches a .torrent file given as a URL; for a magnet link, the metadata must
have been fetched before. Lists the files that are missing, damaged or longer than the
torrent says, and exits with 32 if there are any; all torrents are checked.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var failed exit.Failures
			for _, arg := range args {
				err := check(cmd.Context(), a, arg, &c)
				if cmd.Context().Err() != nil {
					return exit.Fail(exit.Unfinished, "run the same command again", fmt.Errorf("stopped before %s was checked", arg))
				}
				if err != nil {
					failed.Add(err)
					if len(args) > 1 { // a warning; the others are still checked
						a.Warn(err)
					}
				}
			}
			return failed.Result(len(args))
		},
	}
	fs := cmd.Flags()
	c.AddDir(fs, "`DIR` with the data")
	c.AddState(fs)
	c.AddOutbound(fs)
	return cmd
}

// check verifies the data of one torrent and prints the result.
func check(ctx context.Context, a *app.App, arg string, c *app.Flags) error {
	out, err := c.Outbound()
	if err != nil {
		return err
	}
	spec, err := argument.Open(ctx, out, arg)
	if err != nil {
		return err
	}
	if err := c.CheckData(); err != nil {
		return err
	}
	spec.Dir = c.Dir
	progress := report.NewHashBar(a.Output(), spec.Name())
	res, err := node.Check(ctx, c.State(), spec, progress.Set)
	progress.Close()
	if err != nil {
		return err
	}
	return printCheck(a, res)
}

// printCheck prints one result. It returns an error that names the incomplete data, if any.
func printCheck(a *app.App, r node.CheckResult) error {
	wanted := r.Info.Wanted(nil)
	good, all := wanted.CountAnd(r.Have), wanted.Count()
	if a.JSON {
		head := view.Head{InfoHash: r.Info.Hash.String()}
		if err := a.Put(&view.Check{Head: head, Name: r.Info.Name, Size: r.Info.Payload(), Pieces: all, GoodPieces: good,
			Complete: good == all && len(r.Faults) == 0, Bad: badFiles(r.Faults)}); err != nil {
			return err
		}
	} else if !a.Quiet {
		report.Fprintf(a.Output().Stdout(), "%s: %d of %s verified\n", r.Info.Name, good, report.Plural(all, "piece"))
		for _, f := range r.Faults {
			report.Fprintf(a.Output().Stdout(), "  %s\n", f)
		}
	}
	switch {
	case good < all:
		return exit.Fail(exit.Hash, "run seedbed get to download the missing pieces",
			fmt.Errorf("%s of %s missing or damaged", report.Plural(all-good, "piece"), r.Info.Name))
	case len(r.Faults) > 0:
		return exit.Fail(exit.Hash, "run seedbed get to create missing files, with --overwrite to replace longer ones",
			fmt.Errorf("%s of %s not as the torrent says", report.Plural(len(r.Faults), "file"), r.Info.Name))
	}
	return nil
}

func badFiles(faults []node.FileFault) (list []view.BadFile) {
	for _, f := range faults {
		list = append(list, view.BadFile{Path: f.Name, Size: f.Want, SizeOnDisk: f.Size, BadPieces: f.Wrong, Pieces: f.Of, Message: f.String()})
	}
	return list
}
