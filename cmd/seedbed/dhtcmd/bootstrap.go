package dhtcmd

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/process"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
	"seedbed/cmd/seedbed/version"
	"seedbed/dht/bootnode"
	"seedbed/dht/bootstrap"
	"seedbed/internal/option"
	"seedbed/node"
	"seedbed/node/api/metrics"
	"seedbed/node/view"
)

// bootstrapMemory is the soft memory limit of a bootstrap node in bytes. Its rings can hold
// half a million nodes.
const bootstrapMemory = 256 << 20

// Bootstrap returns the command bootstrap.
func Bootstrap(a *app.App) *cobra.Command {
	var cfg bootnode.NodeConfig
	state := settings.NewValues()
	var at option.Addr // address of the metrics server
	var listen []string
	cmd := &cobra.Command{
		Use:   "bootstrap",
		Short: "Run a public DHT bootstrap node",
		Long: `Run a public DHT bootstrap node: it gives newcomers the addresses of nodes that it has
verified, and stores neither torrents nor peers. It needs an address that others can
reach. It needs no bootstrap node itself: it learns of nodes from their queries.

Runs until SIGTERM or Ctrl-C, then saves its state and exits with 0.`,
		Example: `  seedbed bootstrap
  seedbed bootstrap --listen 203.0.113.5:6881 --metrics 127.0.0.1:9090`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if cfg.VerifyAfter < 0 || cfg.VerifyAfter > 24*time.Hour {
				return exit.Fail(exit.Usage, "give a time such as 15m", fmt.Errorf("--verify-after %v is not between 0s and 24h", cfg.VerifyAfter))
			}
			cfg.VerifyAfter = max(cfg.VerifyAfter, 1) // zero means the default of bootnode
			cfg.State, cfg.Listen = state.State(), listen
			cfg.Log = a.Logger()
			cfg.Outbound.Interface = state.Config.Outbound.Interface
			return runBootstrap(cmd.Context(), a, cfg, string(at))
		},
	}
	fs := cmd.Flags()
	fs.Var(&option.List{To: &listen, Arg: "HOST:PORT", Check: option.CheckAddr}, "listen", "`HOST:PORT` for UDP; repeatable (default port 6881 of every address)")
	state.Add(fs, "bind-interface", "state")
	fs.Var(&at, "metrics", "serve /metrics for Prometheus and /healthz at `HOST:PORT`")
	cfg.VerifyAfter = 15 * time.Minute
	fs.Var(option.Span{To: &cfg.VerifyAfter}, "verify-after", "verify a node at most this long after its first query")
	return cmd
}

func runBootstrap(ctx context.Context, a *app.App, cfg bootnode.NodeConfig, at string) (err error) {
	process.RaiseMemoryGoal(bootstrapMemory)
	var isMissing atomic.Bool // the interface
	appeared := make(chan struct{}, 1)
	cfg.Changed = func(err error) {
		if isMissing.Store(err != nil); err != nil {
			a.Warn(node.NetworkFault(err))
			return
		}
		select {
		case appeared <- struct{}{}:
		default:
		}
	}
	b, err := bootnode.Open(cfg)
	if err != nil {
		return err
	}
	rep, lane := newBootstrapReporter(a), report.NewLane()
	defer lane.Close(ctx)
	defer func() {
		if e := b.Close(); err == nil {
			err = e
		}
		if err == nil {
			s := b.Stats()
			lane.Do(func() { rep.stopped(s) })
		}
	}()
	listening := func() {
		for _, addr := range b.Addrs() {
			lane.Do(func() { rep.listening(addr.String()) })
		}
	}
	if !isMissing.Load() {
		listening()
	}
	if at != "" {
		web, err := metrics.Serve(at, metrics.Bootstrap(b, version.String()))
		if err != nil {
			return exit.Fail(exit.Network, "give another --metrics HOST:PORT", err)
		}
		defer web.Close()
		lane.Do(func() { rep.metrics(web.Addr) })
	}
	manager := process.ServiceManager()
	manager.Tell("READY=1")
	defer a.OnReload(func() { // no setting can change while it runs
		manager.Tell("RELOADING=1")
		err := b.Save()
		manager.Tell("READY=1")
		if err != nil {
			report.Fprintf(a.Output().Stderr(), "seedbed: %s\n", report.Sentence(err))
		}
	})()
	tick := time.NewTicker(rep.every())
	defer tick.Stop()
	for last := (bootstrapMark{time.Now(), b.Stats()}); ; {
		select {
		case <-ctx.Done():
			manager.Tell("STOPPING=1")
			return nil
		case <-appeared:
			listening()
		case now := <-tick.C:
			mark := bootstrapMark{now, b.Stats()}
			before := last
			lane.Do(func() { rep.status(before, mark) })
			manager.Tell("STATUS=" + bootstrapLine(last, mark))
			last = mark
		}
	}
}

// bootstrapMark is a snapshot of the counters. Reports show the difference of two.
type bootstrapMark struct {
	at time.Time
	s  bootnode.Stats
}

// A bootstrapReporter reports the activity of a bootstrap node to a script or a person.
type bootstrapReporter interface {
	listening(addr string)
	metrics(addr string)
	every() time.Duration
	status(from, to bootstrapMark)
	stopped(bootnode.Stats)
}

func newBootstrapReporter(a *app.App) bootstrapReporter {
	if a.JSON {
		return bootstrapJSON{report.NewJSON(a.Stdout.Unwatched())}
	}
	if a.Quiet {
		return bootstrapPlain{io.Discard}
	}
	return bootstrapPlain{a.Stdout.Unwatched()}
}

// bootstrapPlain prints plain lines.
type bootstrapPlain struct{ out io.Writer }

func (p bootstrapPlain) listening(addr string) {
	report.Fprintf(p.out, "listening on %s (UDP)\n", addr)
}
func (p bootstrapPlain) metrics(addr string) {
	report.Fprintf(p.out, "metrics on http://%s/metrics\n", addr)
}
func (bootstrapPlain) every() time.Duration { return time.Minute }

func (p bootstrapPlain) status(from, to bootstrapMark) {
	report.Fprintf(p.out, "%s\n", bootstrapLine(from, to))
}

func (p bootstrapPlain) stopped(s bootnode.Stats) {
	report.Fprintf(p.out, "stopped; %s saved\n", report.Plural(s.V4.Nodes+s.V6.Nodes, "node"))
}

// bootstrapLine describes the current state and what changed since from.
func bootstrapLine(from, to bootstrapMark) string {
	secs := max(to.at.Sub(from.at).Seconds(), 1e-3)
	rate := func(a, b uint64) float64 { return float64(b-a) / secs }
	var by []string
	for _, f := range []struct {
		name string
		s    bootnode.FamilyStats
	}{{"IPv4", to.s.V4}, {"IPv6", to.s.V6}} {
		if f.s.Has {
			by = append(by, fmt.Sprintf("%d %s", f.s.Nodes, f.name))
		}
	}
	q0, q1 := bootstrapAnswered(&from.s), bootstrapAnswered(&to.s)
	d0, d1 := bootstrapDropped(&from.s), bootstrapDropped(&to.s)
	return fmt.Sprintf("%s verified, %d waiting; %.0f queries/s answered, %.0f datagrams/s dropped; ↓ %s ↑ %s",
		strings.Join(by, " and ")+" nodes", to.s.Waiting, rate(q0, q1), rate(d0, d1),
		report.Rate(rate(from.s.InBytes, to.s.InBytes)), report.Rate(rate(from.s.OutBytes, to.s.OutBytes)))
}

func bootstrapAnswered(s *bootnode.Stats) uint64 {
	return s.Sum(bootstrap.Answered) + s.Sum(bootstrap.Small) + s.Sum(bootstrap.Refused)
}

func bootstrapDropped(s *bootnode.Stats) (n uint64) {
	for _, d := range s.Dropped {
		n += d
	}
	return n + s.Sum(bootstrap.Shed)
}

// bootstrapJSON prints one JSON object per line.
type bootstrapJSON struct{ r *report.JSON }

func (j bootstrapJSON) listening(addr string) { _ = j.r.Put(&view.Listening{Addr: addr}) }
func (j bootstrapJSON) metrics(addr string)   { _ = j.r.Put(&view.Metrics{Addr: addr}) }
func (bootstrapJSON) every() time.Duration    { return 10 * time.Second }

func (j bootstrapJSON) status(_, to bootstrapMark) {
	_ = j.r.Put(&view.Status{Bootstrap: bootstrapView(&to.s)})
}

func (j bootstrapJSON) stopped(s bootnode.Stats) {
	_ = j.r.Put(&view.Stopped{Bootstrap: bootstrapView(&s)})
}

func bootstrapView(s *bootnode.Stats) view.Bootstrap {
	return view.Bootstrap{
		Nodes4: s.V4.Nodes, Nodes6: s.V6.Nodes, Waiting: s.Waiting, Queries: bootstrapAnswered(s), Dropped: bootstrapDropped(s),
		Pinged: s.Pinged, Verified: s.Verified, InBytes: s.InBytes, OutBytes: s.OutBytes,
	}
}
