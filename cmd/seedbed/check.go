package main

import (
	"encoding/json"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"seedbed/node"
)

func (a *app) checkCommand() *cobra.Command {
	var c common
	cmd := &cobra.Command{
		Use:   "check MAGNET|INFOHASH|FILE.torrent|URL...",
		Short: "Hash again what is in --dir, and say what is missing or wrong",
		Long: `Hash the data of a torrent again and correct the resume record. Needs no network;
of a magnet link, the metadata must have been fetched before.
Exits with 32 when anything is missing or wrong.`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var bad error
			for _, arg := range args {
				spec, err := openArgument(cmd.Context(), arg)
				if err != nil {
					return err
				}
				spec.Dir = c.dir
				progress := a.hashProgress(spec.Name())
				res, err := node.Check(cmd.Context(), stateDir(c.state), spec, progress.set)
				progress.close()
				if err != nil {
					return err
				}
				if err := a.printCheck(res); err != nil {
					bad = errors.Join(bad, err)
				}
			}
			if bad != nil {
				return fail(exitHash, "run seedbed get to fetch what is missing", bad)
			}
			return nil
		},
	}
	fs := cmd.Flags()
	c.addDir(fs, "where the data is:")
	c.addState(fs)
	return cmd
}

// printCheck prints one result; its error names what is not complete.
func (a *app) printCheck(r node.CheckResult) error {
	wanted := r.Info.Wanted(nil)
	good, all := wanted.CountAnd(r.Have), wanted.Count()
	if a.json {
		if err := json.NewEncoder(a.stdout).Encode(struct {
			InfoHash string `json:"infohash"`
			Name     string `json:"name"`
			Pieces   int    `json:"pieces"`
			Good     int    `json:"good"`
			Complete bool   `json:"complete"`
		}{r.Info.Hash.String(), r.Info.Name, all, good, good == all}); err != nil {
			return err
		}
	} else if !a.quiet {
		fmt.Fprintf(a.stdout, "%s: %d of %s verified\n", printable(r.Info.Name), good, plural(all, "piece"))
	}
	if good < all {
		return fmt.Errorf("%s of %s missing or wrong", plural(all-good, "piece"), printable(r.Info.Name))
	}
	return nil
}
