package publish

import (
	"context"
	"errors"
	"fmt"
	"time"

	"seedbed/internal/await"
	"seedbed/node"
	"seedbed/swarm/create"
)

// watchShare limits the time that Watch spends scanning the files to about 1/watchShare of
// all time.
const watchShare = 20

// Watch scans the files once every interval, and calls Update when they have changed and
// then stayed the same for one interval. It returns nil when ctx ends or the publication is
// closed, and a node.FaultConflict when another machine publishes under the key. It reports
// other errors as warnings and calls Update again after the next change.
func (p *Publication) Watch(ctx context.Context, interval time.Duration) error {
	ctx, cancel := either(ctx, p.ctx)
	defer cancel()
	var last, failed create.Fingerprint
	wait := interval
	for {
		if await.Sleep(ctx, wait) != nil {
			return nil
		}
		path, options, published := p.watched()
		began := time.Now()
		now, err := p.publisher.fingerprintOf(ctx, path, options)
		wait = max(interval, watchShare*time.Since(began)) // scanning a large folder takes long
		settled := err == nil && now == last
		last = now
		if !settled || now == published || now == failed {
			continue
		}
		_, err = p.Update(ctx)
		var f *node.Fault
		switch {
		case err == nil:
		case ctx.Err() != nil, errors.Is(err, node.ErrClosed):
			return nil
		case errors.As(err, &f) && f.Kind == node.FaultConflict:
			return err
		default:
			failed = now
			p.warn(fmt.Errorf("cannot publish the change: %w", err))
		}
	}
}

// watched returns the path, the options for reading it, and its fingerprint when the newest
// version was made.
func (p *Publication) watched() (string, node.ShareOptions, create.Fingerprint) {
	p.making.Lock()
	defer p.making.Unlock()
	return p.folder.file.Path, p.options, p.fingerprint
}
