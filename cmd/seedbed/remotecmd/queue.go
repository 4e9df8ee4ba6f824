package remotecmd

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/option"
	"seedbed/node/daemon"
	"seedbed/node/view"
)

func queue(a *app.App) *cobra.Command {
	var t *Target
	cmd := &cobra.Command{
		Use:   "queue top|up|down|bottom ID...",
		Short: "Move torrents in the queue",
		Long: `Move torrents to the top or the bottom of the queue, or up or down by one. The first
torrents of the queue run, as many as --download-queue and --seed-queue of the daemon
allow. The others wait.

` + idHelp,
		Example: "  seedbed queue top 3 8\n  seedbed queue down 1",
		Args:    cobra.MinimumNArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			var to daemon.Where
			if err := to.UnmarshalText([]byte(args[0])); err != nil {
				return exit.Misuse(err)
			}
			c, err := t.Client()
			if err != nil {
				return err
			}
			ids := slices.Clone(args[1:])
			if to == daemon.Top || to == daemon.Down { // the torrents keep the order of the arguments
				slices.Reverse(ids)
			}
			return each(a, ids, func(id string) error {
				o, err := c.Requeue(cmd.Context(), id, to)
				if err := t.put(a, o, err); err != nil {
					return fmt.Errorf("%s: %w", id, err)
				}
				a.Say("%s: place %d", o.Name, o.Place)
				return nil
			})
		},
	}
	t = NewTarget(cmd.Flags())
	return cmd
}

// A goal is a flag for a seeding goal: a ratio, or a span in seconds.
type goal struct {
	isSpan bool
	text   string
	value  *float64 // nil if the flag was not given; 0: as in the settings; -1: none
}

// Type implements pflag.Value.
func (g *goal) Type() string {
	if g.isSpan {
		return "D"
	}
	return "R"
}

// String implements pflag.Value.
func (g *goal) String() string { return g.text }

// Set implements pflag.Value.
func (g *goal) Set(s string) (err error) {
	v := 0.0
	var span time.Duration
	switch {
	case s == "none":
		v = -1
	case s == "default":
	case g.isSpan:
		if err := (option.Span{To: &span}).Set(s); err != nil {
			return err
		}
		if v = math.Ceil(span.Seconds()); v == 0 {
			return errors.New("it must be longer than 0; or give none or default")
		}
	default:
		if v, err = strconv.ParseFloat(s, 64); err != nil || !(v > 0) || v > 1e9 {
			return fmt.Errorf("%q is not a ratio such as 1.5, and neither none nor default", s)
		}
	}
	g.text, g.value = s, &v
	return nil
}

func (g *goal) seconds() *int64 {
	if g.value == nil {
		return nil
	}
	s := int64(*g.value)
	return &s
}

// goalsLine describes the seeding goals that differ from the settings.
func goalsLine(g *view.Goals) string {
	var out []string
	say := func(is float64, name, value string) {
		switch {
		case is < 0:
			out = append(out, "any "+name)
		case is > 0:
			out = append(out, "to "+name+" "+value)
		}
	}
	say(g.Ratio, "ratio", strconv.FormatFloat(g.Ratio, 'g', -1, 64))
	say(float64(g.Idle), "idle time", (time.Duration(g.Idle) * time.Second).String())
	say(float64(g.Time), "time", (time.Duration(g.Time) * time.Second).String())
	return strings.Join(out, ", ")
}
