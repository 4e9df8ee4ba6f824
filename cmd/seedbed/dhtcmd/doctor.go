package dhtcmd

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/query"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
	"seedbed/internal/objectstore"
	"seedbed/magnet"
	"seedbed/node/api/client"
	"seedbed/node/doctor"
	"seedbed/node/view"
)

// doctorTimeout is the default of --timeout. It is long enough for every step to time out.
const doctorTimeout = 2 * time.Minute

// Doctor returns the command doctor.
func Doctor(a *app.App) *cobra.Command {
	var c app.Flags
	var target *remotecmd.Target
	var writeStore bool
	cmd := &cobra.Command{
		Use:   "doctor [MAGNET|INFOHASH]",
		Short: "Diagnose connection problems",
		Long: `Check everything a node needs, step by step: sockets, each bootstrap host, the external
address that other nodes see, NAT, port mapping, uTP, node id and routing table. With a magnet
link it goes on with lookup, dials, handshakes and metadata. Each step reports the result
(✓ OK, ! warning, ✗ failed) with advice.

A running daemon with the same state directory, or the one of --daemon or --socket, does
the checks instead: on its machine, of its own port and with its bootstrap hosts. It also
knows from its peers whether others can connect to it. What is asked of DHT nodes comes from
other sockets, on a free port. With --listen, --bootstrap or --store, the command does the checks itself.

With --store, the object store is checked first: whether it answers, its clock, whether the
credentials may list and read, and whether its objects are public. A daemon with an object store
checks its own. With --store-write, small objects are written and deleted below .seedbed/ there, and
conditional writes are tried, which several publishers with one key need.

Changes nothing else, except that it maps its own port in the router while it runs. Exits with 0 if nothing failed, with 6 if the network failed, and
with 3 if no peer of the torrent could be reached.`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var text string
			var link *magnet.Link
			if len(args) > 0 {
				text = args[0]
				var err error
				if link, err = magnet.ParseBare(text); err != nil {
					return err
				}
				if err := link.Openable(); err != nil {
					return exit.Fail(exit.Magnet, "", err)
				}
			}
			cfg, err := c.Visit(a)
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), c.Timeout)
			defer cancel()
			var daemon *client.Client
			if target.IsNamed() || !handover.Visits(cmd) && settings.SourceOf(cmd.Flags().Lookup("store")) != settings.FromFlag {
				if daemon, err = target.Running(ctx); err != nil {
					return err
				}
			}
			d := &diagnosis{App: a}
			if daemon != nil {
				if err := target.Misfit(cmd, "timeout", "store-write"); err != nil {
					return err
				}
				d.Say("the running daemon does the checks")
				err = handover.Examine(ctx, target, daemon, text, writeStore, d.report)
			} else {
				report := func(f doctor.Finding) {
					d.report(view.FindingOf(string(f.Step), f.What, f.Verdict.String(), f.Text, f.Advice, f.Took, f.Data))
				}
				if err = d.examineStore(ctx, &c, writeStore, report); err == nil {
					err = doctor.Examine(ctx, cfg, link, report)
				}
			}
			switch {
			case err == nil:
				return d.end(link != nil)
			case errors.Is(ctx.Err(), context.DeadlineExceeded):
				return exit.Fail(exit.Timeout, "use a longer --timeout", fmt.Errorf("timed out after %v%s", c.Timeout, d.where()))
			case ctx.Err() != nil:
				return exit.Fail(exit.Unfinished, "", errors.New("stopped before all checks were done"))
			}
			return err
		},
	}
	fs := cmd.Flags()
	c.AddVisit(fs, doctorTimeout)
	c.Add(fs, "port-map", "port-map-gateway", "utp", "store")
	c.AddStoreAccess(fs)
	fs.BoolVar(&writeStore, "store-write", false, "also write and delete small objects below .seedbed/ in the object store")
	target = remotecmd.AddTarget(fs, c.Values)
	return cmd
}

// examineStore checks the object store of --store, if it is given.
func (d *diagnosis) examineStore(ctx context.Context, f *app.Flags, write bool, report func(doctor.Finding)) error {
	if !f.HasStore() {
		if write {
			return exit.Misuse(errors.New("--store-write needs an object store: give it with --store s3://BUCKET/PREFIX"))
		}
		return nil
	}
	c, err := f.Values.ObjectStore(f.Store.Location)
	if err != nil {
		return exit.Misuse(err)
	}
	s, err := objectstore.Open(c)
	if err != nil {
		return exit.Misuse(err)
	}
	defer s.Close()
	return doctor.ExamineStore(ctx, s, write, report)
}

// diagnosis prints findings when they arrive.
type diagnosis struct {
	*app.App
	step    string
	notices int
	bad     []*view.Finding
}

// where returns the step in which the checks are, as the end of a message.
func (d *diagnosis) where() string {
	if d.step == "" {
		return ""
	}
	return ", in step " + d.step
}

var marks = map[string]struct {
	mark  string
	color report.Color
}{
	doctor.Fine.String():   {"✓", report.Green},
	doctor.Notice.String(): {"!", report.Yellow},
	doctor.Bad.String():    {"✗", report.Red},
}

func (d *diagnosis) report(f *view.Finding) {
	switch f.Verdict {
	case doctor.Notice.String():
		d.notices++
	case doctor.Bad.String():
		d.bad = append(d.bad, f)
	}
	first := f.Step != d.step
	d.step = f.Step
	m := marks[f.Verdict]
	if d.JSON {
		_ = d.Put(f)
		return
	}
	if d.Quiet && f.Verdict == doctor.Fine.String() {
		return
	}
	step := ""
	if first {
		step = f.Step
	}
	text := f.Text
	if f.What != "" {
		text = f.What + ": " + text
	}
	took := ""
	if f.Took > 0 {
		took = "  " + query.Millis(time.Duration(f.Took*float64(time.Millisecond)))
	}
	o := d.Output()
	const indent = 20
	for i, line := range o.Wrap(text+took, indent) {
		if i > 0 {
			report.Fprintf(d.Stdout, "%*s%s\n", indent, "", line)
			continue
		}
		report.Fprintf(d.Stdout, "%s %-16s  %s\n", o.Paint(m.color, m.mark), step, line)
	}
	for i, line := range o.Wrap(f.Advice, indent+2) {
		arrow := "→ "
		if i > 0 {
			arrow = "  "
		}
		report.Fprintf(d.Stdout, "%*s%s\n", indent, "", o.Paint(report.Dim, arrow+line))
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
		d.Say("\n%s", verdict)
		return nil
	}
	f := d.bad[0]
	code := exit.Network
	switch doctor.Step(f.Step) {
	case doctor.StepLookup, doctor.StepDial, doctor.StepHandshake, doctor.StepMetadata:
		code = exit.NotFound
	}
	d.Say("")
	what := f.Step
	if f.What != "" {
		what += " (" + f.What + ")"
	}
	return exit.Fail(code, f.Advice, fmt.Errorf("failed at %s: %s", what, strings.TrimSpace(f.Text)))
}
