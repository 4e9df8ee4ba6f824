package doctor

import (
	"context"
	"fmt"
	"time"

	"seedbed/internal/portmap"
)

// mappingLimit is how long the routers have to map the port. It is longer than one attempt with
// each method, if nothing answers.
const mappingLimit = 8 * time.Second

// startMapping asks the routers to map the port of the visit, while the other checks run. The
// returned function waits for the result, reports it and removes the mappings. If a node is
// diagnosed, it reports the mappings of the node instead.
func (e *examination) startMapping() (report func(context.Context)) {
	cfg := &e.v.Config
	if cfg.Node != nil {
		return func(context.Context) {
			if s, isOn := cfg.Node.PortMapping(); isOn {
				e.mappings(&s)
			}
		}
	}
	if cfg.Outbound.Proxy != "" { // nothing goes around a proxy
		return func(context.Context) {}
	}
	changed := make(chan struct{}, 1)
	m := cfg.PortMap.Start(portmap.Config{Listen: e.v.Addrs(), Gateway: cfg.PortMapGateway, Interface: cfg.Outbound.Interface, Control: cfg.Outbound.Control(), Logger: cfg.Log, Changed: func() {
		select {
		case changed <- struct{}{}:
		default:
		}
	}})
	if m == nil {
		return func(context.Context) {}
	}
	begun := time.Now()
	return func(ctx context.Context) {
		defer m.Close()
		ctx, cancel := context.WithDeadline(ctx, begun.Add(mappingLimit))
		defer cancel()
		s := m.Status()
		for ctx.Err() == nil && !isDecided(&s) {
			select {
			case <-changed:
			case <-ctx.Done():
			}
			s = m.Status()
		}
		e.mappings(&s)
	}
}

// isDecided reports whether the first attempt has ended for each target.
func isDecided(s *portmap.Status) bool {
	for _, t := range s.Targets {
		if len(t.Mappings) == 0 && t.Err == nil {
			return false
		}
	}
	return true
}

// mappings reports what the routers map.
func (e *examination) mappings(s *portmap.Status) {
	if len(s.Targets) == 0 {
		e.report(Finding{Step: StepMapping, Text: "nothing to map: no address of this machine is behind a router on its own network"})
	}
	for _, t := range s.Targets {
		e.report(mappingFinding(&t))
	}
}

func mappingFinding(t *portmap.Target) Finding {
	f := Finding{Step: StepMapping, What: familyName(t.Local.Is6()), Advice: t.Advice, Data: map[string]any{"local": t.Local, "gateway": t.Gateway}}
	if t.Advice != "" {
		f.Verdict = Notice
	}
	switch {
	case len(t.Mappings) > 0:
		m := &t.Mappings[0]
		f.Text = fmt.Sprintf("mapped %d by %v %s at %v (router %v)", m.Internal.Port(), m.Method, lease(m.Lease), m.External, m.Router)
		f.Data["method"], f.Data["external"], f.Data["lease_s"] = m.Method.String(), m.External, int64(m.Lease/time.Second)
	case t.Err != nil:
		f.Text = fmt.Sprintf("no router maps the port of %v: %v", t.Local, t.Err)
	default:
		f.Verdict, f.Text = Notice, fmt.Sprintf("the router %v has not answered yet", t.Gateway)
	}
	return f
}

func lease(d time.Duration) string {
	if d == 0 {
		return "without an end"
	}
	return fmt.Sprintf("for %d s", int64(d/time.Second))
}
