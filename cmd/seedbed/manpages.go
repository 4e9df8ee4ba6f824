package main

import (
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/manpage"
	"seedbed/cmd/seedbed/version"
)

// manPagesCommand returns the hidden command that writes the manual pages. It is for those who make
// packages.
func manPagesCommand() *cobra.Command {
	var date string
	cmd := &cobra.Command{
		Use:    "man-pages DIR",
		Short:  "Write the manual pages into a folder",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			day, err := time.Parse(time.DateOnly, date)
			if err != nil {
				return exit.Misuse(err)
			}
			b := manpage.Book{Root: cmd.Root(), Date: day, Source: "seedbed " + version.String()}
			return b.Write(args[0])
		},
	}
	cmd.Flags().StringVar(&date, "date", "", "`DATE` of the release, as in 2026-01-31")
	_ = cmd.MarkFlagRequired("date") // fails only if there is no such flag
	return cmd
}
