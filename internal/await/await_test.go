package await_test

import (
	"context"
	"errors"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/await"
)

func TestTheResultOfTheFunctionIsReturned(t *testing.T) {
	failure := errors.New("failure")
	if v, ended := await.Value(t.Context(), func() int { return 7 }); v != 7 || !ended {
		t.Errorf("Value returned %d and %v, want 7 and true", v, ended)
	}
	if err := await.Do(t.Context(), func() error { return failure }); err != failure {
		t.Errorf("Do returned %v, want %v", err, failure)
	}
	if v, err := await.Result(t.Context(), func() (int, error) { return 7, failure }); v != 7 || err != failure {
		t.Errorf("Result returned %d and %v, want 7 and %v", v, err, failure)
	}
}

// Nobody waits longer than the context lasts, and the function continues.
func TestTheFunctionContinuesWhenTheContextEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var ended atomic.Int32
		hang := func() {
			time.Sleep(time.Hour)
			ended.Add(1)
		}
		for name, call := range map[string]func(context.Context) error{
			"Value": func(ctx context.Context) error {
				v, ended := await.Value(ctx, func() int { hang(); return 7 })
				if v != 0 || ended {
					t.Errorf("Value returned %d and %v, want 0 and false", v, ended)
				}
				return ctx.Err()
			},
			"Do": func(ctx context.Context) error {
				return await.Do(ctx, func() error { hang(); return nil })
			},
			"Result": func(ctx context.Context) error {
				v, err := await.Result(ctx, func() (int, error) { hang(); return 7, nil })
				if v != 0 {
					t.Errorf("Result returned %d, want 0", v)
				}
				return err
			},
		} {
			begun, before := time.Now(), ended.Load()
			ctx, cancel := context.WithTimeout(t.Context(), time.Second)
			if err := call(ctx); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second || ended.Load() != before {
				t.Errorf("%s returned %v after %v, want the error of the context after a second", name, err, time.Since(begun))
			}
			cancel()
			time.Sleep(time.Hour)
			synctest.Wait()
			if ended.Load() != before+1 {
				t.Errorf("the function that %s called has not ended", name)
			}
		}
	})
}

func TestSleepLastsAsLongAsTheContext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		if err := await.Sleep(t.Context(), time.Minute); err != nil || time.Since(begun) != time.Minute {
			t.Errorf("Sleep returned %v after %v", err, time.Since(begun))
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		begun = time.Now()
		if err := await.Sleep(ctx, time.Minute); !errors.Is(err, context.DeadlineExceeded) || time.Since(begun) != time.Second {
			t.Errorf("Sleep returned %v after %v, want the error of the context after a second", err, time.Since(begun))
		}
	})
}
