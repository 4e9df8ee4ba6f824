package app

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
)

// slowNode is a Closer that takes long. It makes progress at intervals, and hangs after
// some steps.
type slowNode struct {
	steps, hangsAfter int64
	every             time.Duration
	done              atomic.Int64
}

func (n *slowNode) Saved() int64 { return n.done.Load() }

func (n *slowNode) Close(ctx context.Context) error {
	for range n.steps {
		if n.done.Load() == n.hangsAfter {
			<-ctx.Done()
			return ctx.Err()
		}
		select {
		case <-time.After(n.every):
			n.done.Add(1)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}

func TestClosingContinuesWhileItMakesProgress(t *testing.T) {
	for name, c := range map[string]struct {
		node *slowNode
		code exit.Code
		took time.Duration // takes at most a second more than this
	}{
		"nothing to do":         {&slowNode{hangsAfter: -1}, exit.OK, 0},
		"an hour of small work": {&slowNode{steps: 720, every: 5 * time.Second, hangsAfter: -1}, exit.OK, time.Hour},
		"a disk that hangs":     {&slowNode{steps: 100, every: 5 * time.Second, hangsAfter: 10}, exit.IO, 50*time.Second + closeStall},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &App{Quiet: true, Stderr: &report.Stdio{File: os.Stderr}}
				began := time.Now()
				err := a.CloseNode(c.node)
				code := exit.OK
				if err != nil {
					code = exit.CodeOf(err)
				}
				if code != c.code {
					t.Errorf("exit %d: %v", code, err)
				}
				if took := time.Since(began); took < c.took || took > c.took+time.Second {
					t.Errorf("took %v, not %v", took, c.took)
				}
			})
		})
	}
}
