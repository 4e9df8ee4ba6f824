package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/node"
	"seedbed/node/view"
)

func (a *app) checkCommand() *cobra.Command {
	var c common
	cmd := &cobra.Command{
		Use:   "check MAGNET|INFOHASH|FILE.torrent|URL...",
		Short: "Re-check the files in --dir and report missing or damaged pieces",
		Long: `Re-check the data of torrents and correct the resume records. It works offline, except
that it fetches a .torrent file given as a URL; for a magnet link, the metadata must
have been fetched before. Lists the files that are missing, damaged or longer than the
torrent says, and exits with 32 if there are any; all torrents are checked.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var failed failures
			for _, arg := range args {
				err := a.check(cmd.Context(), arg, &c)
				if cmd.Context().Err() != nil {
					return fail(exitUnfinished, "run the same command again", fmt.Errorf("stopped before %s was checked", arg))
				}
				if err != nil {
					failed.add(err)
					if len(args) > 1 { // a warning; the others are still checked
						a.warn(err)
					}
				}
			}
			return failed.result(len(args))
		},
	}
	fs := cmd.Flags()
	c.addDir(fs, "`DIR` with the data")
	c.addState(fs)
	return cmd
}

// check verifies the data of one torrent and prints the result.
func (a *app) check(ctx context.Context, arg string, c *common) error {
	spec, err := openArgument(ctx, arg)
	if err != nil {
		return err
	}
	spec.Dir = c.dir
	progress := report.NewHashBar(a.output(), spec.Name())
	res, err := node.Check(ctx, c.State(), spec, progress.Set)
	progress.Close()
	if err != nil {
		return err
	}
	return a.printCheck(res)
}

// printCheck prints one result. It returns an error that names the incomplete data, if any.
func (a *app) printCheck(r node.CheckResult) error {
	wanted := r.Info.Wanted(nil)
	good, all := wanted.CountAnd(r.Have), wanted.Count()
	if a.json {
		head := view.Head{InfoHash: r.Info.Hash.String()}
		if err := a.put(&view.Check{Head: head, Name: r.Info.Name, Size: r.Info.Payload(), Pieces: all, GoodPieces: good,
			Complete: good == all && len(r.Faults) == 0, Bad: badFiles(r.Faults)}); err != nil {
			return err
		}
	} else if !a.quiet {
		report.Fprintf(a.output().Stdout(), "%s: %d of %s verified\n", r.Info.Name, good, report.Plural(all, "piece"))
		for _, f := range r.Faults {
			report.Fprintf(a.output().Stdout(), "  %s\n", f)
		}
	}
	switch {
	case good < all:
		return fail(exitHash, "run seedbed get to download the missing pieces",
			fmt.Errorf("%s of %s missing or damaged", report.Plural(all-good, "piece"), r.Info.Name))
	case len(r.Faults) > 0:
		return fail(exitHash, "truncate the files, or replace them with seedbed get --overwrite",
			fmt.Errorf("%s of %s longer than the torrent says", report.Plural(len(r.Faults), "file"), r.Info.Name))
	}
	return nil
}

func badFiles(faults []node.FileFault) (list []view.BadFile) {
	for _, f := range faults {
		list = append(list, view.BadFile{Path: f.Name, Size: f.Want, SizeOnDisk: f.Size, BadPieces: f.Wrong, Pieces: f.Of, Message: f.String()})
	}
	return list
}
