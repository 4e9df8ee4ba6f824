package doctor

import (
	"context"
	"errors"
	"time"

	"seedbed/internal/netx"
)

// proxyLimit is how long the proxy may take to relay datagrams.
const proxyLimit = 10 * time.Second

// proxy reports whether the proxy can be used, and whether it relays datagrams.
func (e *examination) proxy(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, proxyLimit)
	defer cancel()
	begun := time.Now()
	err := e.v.Config.Outbound.CheckProxy(ctx)
	f := Finding{Step: StepProxy, What: e.v.Config.Outbound.Proxy, Took: time.Since(begun),
		Text: "can be used and relays datagrams; nothing goes around it, and no port is open for incoming connections"}
	var unusable *netx.Error
	switch {
	case errors.As(err, &unusable):
		f.Verdict, f.Text, f.Advice = Bad, unusable.Reason, unusable.Hint
		if errors.Is(err, netx.ErrNoRelay) { // peers that are known can be reached
			f.Verdict = Notice
		}
	case err != nil:
		f.Verdict, f.Text, f.Advice = Bad, err.Error(), "check that the proxy runs"
	}
	e.report(f)
}
