package names

import (
	"context"
	"errors"
	"time"

	"seedbed/internal/await"
)

// Names that are followed are looked up again watchFirst after the start, and then every watchEvery.
const (
	watchFirst = 2 * time.Minute
	watchEvery = time.Hour
)

// Watch looks up the domains that list returns, at the start and then every hour, until ctx ends. It calls
// warn when a domain names another publication than the pinned one, or none any more, and again when
// that changes. A resolver that has no answer at the moment is no reason for a warning.
func (n *Names) Watch(ctx context.Context, list func() []string, warn func(error)) {
	warned := map[string]string{}
	for pause := watchFirst; await.Sleep(ctx, pause) == nil; pause = watchEvery {
		before := warned
		warned = map[string]string{}
		for _, domain := range list() {
			link, err := n.Resolve(ctx, domain)
			if err == nil && len(link.Warnings) > 0 {
				err = link.Warnings[0]
			}
			var temporary *LookupError
			switch {
			case ctx.Err() != nil:
				return
			case errors.As(err, &temporary):
				warned[domain] = before[domain]
			case err != nil:
				warned[domain] = err.Error()
				if warned[domain] != before[domain] {
					warn(err)
				}
			}
		}
	}
}
