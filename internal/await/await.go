// Package await waits for what may take arbitrarily long, such as a disk that hangs, but no longer
// than a context lasts.
//
// A call to the file system cannot be interrupted. So a function that is waited for runs in a
// goroutine of its own, and continues when nobody waits for it any longer. Variables that it shares
// with its caller may be read only after it has ended: Result returns a value instead.
package await

import (
	"context"
	"time"
)

// Value returns the result of do, and whether do has ended. If ctx ends first, it returns false, and
// do continues.
func Value[T any](ctx context.Context, do func() T) (v T, ended bool) {
	done := make(chan T, 1)
	go func() { done <- do() }()
	select {
	case v = <-done:
		return v, true
	case <-ctx.Done():
		return v, false
	}
}

// Do returns the error of do. If ctx ends first, it returns the error of ctx, and do continues.
func Do(ctx context.Context, do func() error) error {
	err, ended := Value(ctx, do)
	if !ended {
		return ctx.Err()
	}
	return err
}

// Result returns the value and the error of do. If ctx ends first, it returns the error of ctx, and
// do continues.
func Result[T any](ctx context.Context, do func() (T, error)) (T, error) {
	type result struct {
		v   T
		err error
	}
	r, ended := Value(ctx, func() result {
		v, err := do()
		return result{v, err}
	})
	if !ended {
		return r.v, ctx.Err()
	}
	return r.v, r.err
}

// Sleep waits for d. It returns the error of ctx if ctx ends first.
func Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
