package objectstore

import (
	"context"
	"crypto/rand"
	"fmt"
	"sync"
)

// CheckConditions reports an error of kind Unsupported if the store ignores the conditions of writes. It writes small objects
// under prefix and removes them.
func (s *Store) CheckConditions(ctx context.Context, prefix string) (err error) {
	name := prefix + rand.Text()
	defer func() {
		if e := s.Remove(context.WithoutCancel(ctx), name); err == nil {
			err = e
		}
	}()
	const text = "text/plain"
	unsupported := func(what string) error {
		return &Error{Op: "write", Name: s.at.Name(name), Kind: Unsupported, Err: fmt.Errorf("the store ignores the condition of a write (%s)", what)}
	}
	etag, err := s.Write(ctx, name, []byte("1"), text, Condition{Absent: true})
	if err != nil {
		return err
	}
	if _, err = s.Write(ctx, name, []byte("2"), text, Condition{Absent: true}); KindOf(err) != Changed {
		return orUnsupported(err, unsupported("If-None-Match"))
	}
	if _, err = s.Write(ctx, name, []byte("2"), text, Condition{ETag: etag}); err != nil {
		return err
	}
	if _, err = s.Write(ctx, name, []byte("3"), text, Condition{ETag: etag}); KindOf(err) != Changed {
		return orUnsupported(err, unsupported("If-Match"))
	}
	return s.checkRace(ctx, name+".race", unsupported)
}

// checkRace checks that of several writes at the same time only one succeeds: some stores compare first, and write later.
func (s *Store) checkRace(ctx context.Context, name string, unsupported func(string) error) error {
	defer func() { _ = s.Remove(context.WithoutCancel(ctx), name) }()
	const rounds, writers = 3, 8
	for range rounds {
		if err := s.Remove(ctx, name); err != nil {
			return err
		}
		var wg sync.WaitGroup
		var errs [writers]error
		for i := range writers {
			wg.Go(func() {
				_, errs[i] = s.Write(ctx, name, fmt.Append(nil, i), "text/plain", Condition{Absent: true})
			})
		}
		wg.Wait()
		written := 0
		for _, err := range errs {
			switch {
			case err == nil:
				written++
			case KindOf(err) != Changed:
				return err
			}
		}
		if written > 1 {
			return unsupported("of several writers at the same time")
		}
	}
	return nil
}

func orUnsupported(err, unsupported error) error {
	if err != nil {
		return err
	}
	return unsupported
}
