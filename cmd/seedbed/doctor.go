package main

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/magnet"
	"seedbed/node"
)

// doctorTimeout is enough for every step to fail slowly.
const doctorTimeout = 2 * time.Minute

func (a *app) doctorCommand() *cobra.Command {
	var c common
	cmd := &cobra.Command{
		Use:   "doctor [MAGNET|INFOHASH]",
		Short: "Find out why it does not work",
		Long: `Examine step by step what a node needs: sockets, each bootstrap host, the external
address as the network sees it, what kind of NAT is between, node id and routing
table. With a magnet link it goes on: lookup, peers, dials, handshakes, metadata.
Each step says what was found, and what can be done.

Leaves nothing behind. Exits with 0 when nothing is broken, with 6 when the network
is, and with 3 when the torrent has no peers that can be reached.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var link *magnet.Link
			if len(args) > 0 {
				var err error
				if link, err = magnet.ParseBare(args[0]); err != nil {
					return err
				}
				if err := link.Openable(); err != nil {
					return fail(exitMagnet, "", err)
				}
			}
			cfg, err := c.visit(a)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), c.Timeout)
			defer cancel()
			d := &diagnosis{app: a}
			err = node.Doctor(ctx, cfg, link, d.tell)
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				return fail(exitTimeout, "give it a longer --timeout", fmt.Errorf("not done after %v; the last step was %s", c.Timeout, d.step))
			case errors.Is(err, context.Canceled):
				return fail(exitUnfinished, "", errors.New("stopped before everything was examined"))
			case err != nil:
				return err
			}
			return d.end(link != nil)
		},
	}
	fs := cmd.Flags()
	c.addVisit(fs, doctorTimeout)
	return cmd
}

// diagnosis prints findings as they come.
type diagnosis struct {
	*app
	step    node.Step
	notices int
	bad     []node.Finding
}

var marks = map[node.Verdict]struct {
	mark, word string
	color      report.Color
}{
	node.Fine:   {"✓", "fine", report.Green},
	node.Notice: {"!", "notice", report.Yellow},
	node.Bad:    {"✗", "bad", report.Red},
}

func (d *diagnosis) tell(f node.Finding) {
	switch f.Verdict {
	case node.Notice:
		d.notices++
	case node.Bad:
		d.bad = append(d.bad, f)
	}
	first := f.Step != d.step
	d.step = f.Step
	m := marks[f.Verdict]
	if d.json {
		_ = d.put(struct {
			report.Head
			Step    node.Step      `json:"step"`
			What    string         `json:"what,omitempty"`
			Verdict string         `json:"verdict"`
			Text    string         `json:"text"`
			Advice  string         `json:"advice,omitempty"`
			Took    float64        `json:"took_ms,omitempty"`
			Data    map[string]any `json:"data,omitempty"`
		}{report.NewHead("finding", time.Now(), nil), f.Step, f.What, m.word, f.Text, f.Advice, jsonMillis(f.Took), f.Data})
		return
	}
	if d.quiet && f.Verdict == node.Fine {
		return
	}
	step := ""
	if first {
		step = string(f.Step)
	}
	text := f.Text
	if f.What != "" {
		text = f.What + ": " + text
	}
	took := ""
	if f.Took > 0 {
		took = "  " + millis(f.Took)
	}
	o := d.output()
	report.Fprintf(d.stdout, "%s %-16s  %s%s\n", o.Paint(m.color, m.mark), step, text, o.Paint(report.Dim, took))
	if f.Advice != "" {
		report.Fprintf(d.stdout, "%20s%s\n", "", o.Paint(report.Dim, "→ "+f.Advice))
	}
}

// end sums up, and makes the exit code.
func (d *diagnosis) end(torrent bool) error {
	if len(d.bad) == 0 {
		verdict := "nothing is broken"
		if torrent {
			verdict += "; the torrent can be opened"
		}
		if d.notices > 0 {
			verdict += fmt.Sprintf("; %s above", report.Plural(d.notices, "notice"))
		}
		d.say("\n%s", verdict)
		return nil
	}
	f := d.bad[0]
	code := exitNetwork
	switch f.Step {
	case node.StepLookup, node.StepDial, node.StepHandshake, node.StepMetadata:
		code = exitNotFound
	}
	d.say("")
	what := string(f.Step)
	if f.What != "" {
		what += " (" + f.What + ")"
	}
	return fail(code, f.Advice, fmt.Errorf("it stops at: %s: %s", what, strings.TrimSpace(f.Text)))
}
