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
	"seedbed/node/doctor"
	"seedbed/node/view"
)

// doctorTimeout is long enough for every step to time out.
const doctorTimeout = 2 * time.Minute

func (a *app) doctorCommand() *cobra.Command {
	var c common
	cmd := &cobra.Command{
		Use:   "doctor [MAGNET|INFOHASH]",
		Short: "Diagnose connection problems",
		Long: `Check everything a node needs, step by step: sockets, each bootstrap host, the external
address that other nodes see, NAT, node id and routing table. With a magnet link it goes
on with lookup, dials, handshakes and metadata. Each step reports the result (✓ OK,
! warning, ✗ failed) with advice.

Leaves nothing behind. Exits with 0 if nothing failed, with 6 if the network failed, and
with 3 if no peer of the torrent could be reached.`,
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
			err = doctor.Examine(ctx, cfg, link, d.tell)
			switch {
			case errors.Is(err, context.DeadlineExceeded):
				return fail(exitTimeout, "use a longer --timeout", fmt.Errorf("timed out after %v, in step %s", c.Timeout, d.step))
			case errors.Is(err, context.Canceled):
				return fail(exitUnfinished, "", errors.New("stopped before the end of the examination"))
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

// diagnosis prints findings when they arrive.
type diagnosis struct {
	*app
	step    doctor.Step
	notices int
	bad     []doctor.Finding
}

var marks = map[doctor.Verdict]struct {
	mark, word string
	color      report.Color
}{
	doctor.Fine:   {"✓", "fine", report.Green},
	doctor.Notice: {"!", "notice", report.Yellow},
	doctor.Bad:    {"✗", "bad", report.Red},
}

func (d *diagnosis) tell(f doctor.Finding) {
	switch f.Verdict {
	case doctor.Notice:
		d.notices++
	case doctor.Bad:
		d.bad = append(d.bad, f)
	}
	first := f.Step != d.step
	d.step = f.Step
	m := marks[f.Verdict]
	if d.json {
		_ = d.put(&view.Finding{Step: string(f.Step), What: f.What, Verdict: m.word, Text: f.Text, Advice: f.Advice, Took: view.Millis(f.Took), Data: f.Data})
		return
	}
	if d.quiet && f.Verdict == doctor.Fine {
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
	const indent = 20
	for i, line := range o.Wrap(text+took, indent) {
		if i > 0 {
			report.Fprintf(d.stdout, "%*s%s\n", indent, "", line)
			continue
		}
		report.Fprintf(d.stdout, "%s %-16s  %s\n", o.Paint(m.color, m.mark), step, line)
	}
	for i, line := range o.Wrap(f.Advice, indent+2) {
		arrow := "→ "
		if i > 0 {
			arrow = "  "
		}
		report.Fprintf(d.stdout, "%*s%s\n", indent, "", o.Paint(report.Dim, arrow+line))
	}
}

// end prints a summary and returns the error that sets the exit code.
func (d *diagnosis) end(torrent bool) error {
	if len(d.bad) == 0 {
		verdict := "nothing failed"
		if torrent {
			verdict += "; the torrent can be opened"
		}
		if d.notices > 0 {
			verdict += fmt.Sprintf("; %s above", report.Plural(d.notices, "warning"))
		}
		d.say("\n%s", verdict)
		return nil
	}
	f := d.bad[0]
	code := exitNetwork
	switch f.Step {
	case doctor.StepLookup, doctor.StepDial, doctor.StepHandshake, doctor.StepMetadata:
		code = exitNotFound
	}
	d.say("")
	what := string(f.Step)
	if f.What != "" {
		what += " (" + f.What + ")"
	}
	return fail(code, f.Advice, fmt.Errorf("failed at %s: %s", what, strings.TrimSpace(f.Text)))
}
