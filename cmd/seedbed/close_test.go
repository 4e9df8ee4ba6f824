package main

import (
	"context"
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/cmd/seedbed/report"
)

// slowNode is slow to close. It makes progress at intervals, up to a point.
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

func TestClosingGoesOnWhileItMakesProgress(t *testing.T) {
	for name, c := range map[string]struct {
		node *slowNode
		code exitCode
		took time.Duration // takes at most a second more than this
	}{
		"nothing to do":         {&slowNode{hangsAfter: -1}, exitOK, 0},
		"an hour of small work": {&slowNode{steps: 720, every: 5 * time.Second, hangsAfter: -1}, exitOK, time.Hour},
		"a disk that hangs":     {&slowNode{steps: 100, every: 5 * time.Second, hangsAfter: 10}, exitIO, 50*time.Second + closeStall},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				a := &app{quiet: true, stderr: &report.Stdio{File: os.Stderr}}
				began := time.Now()
				err := a.closeNode(c.node)
				code := exitOK
				if err != nil {
					code = codeOf(err)
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
