package objectstore

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"sync"
)

// ErrNoConditions reports that a store ignores the conditions of writes.
var ErrNoConditions = errors.New("the store ignores the condition of a write")

// CheckConditions returns an error that wraps ErrNoConditions, of kind Unsupported, if the store ignores the conditions of
// writes. After any other error it is not known whether the store has them. CheckConditions writes small objects under prefix
// and removes them if the store allows that.
func (s *Store) CheckConditions(ctx context.Context, prefix string) error {
	name := prefix + rand.Text()
	defer func() { _ = s.Remove(context.WithoutCancel(ctx), name) }()
	const text = "text/plain"
	unsupported := func(what string) error {
		return &Error{Op: "write", Name: s.at.Name(name), Kind: Unsupported, Err: fmt.Errorf("%w (%s)", ErrNoConditions, what)}
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
	return s.checkRaces(ctx, name, unsupported)
}

// checkRaces checks that of several writes at the same time only one succeeds: some stores compare first, and write later.
func (s *Store) checkRaces(ctx context.Context, name string, unsupported func(string) error) error {
	const rounds = 3
	for round := range rounds {
		written, err := s.race(ctx, fmt.Sprintf("%s.race%d", name, round))
		if err != nil {
			return err
		}
		if written > 1 {
			return unsupported("of several writers at the same time")
		}
	}
	return nil
}

// race returns how many of several writes of an absent object succeed.
func (s *Store) race(ctx context.Context, name string) (written int, err error) {
	defer func() { _ = s.Remove(context.WithoutCancel(ctx), name) }()
	var wg sync.WaitGroup
	var errs [8]error
	for i := range errs {
		wg.Go(func() {
			_, errs[i] = s.Write(ctx, name, fmt.Append(nil, i), "text/plain", Condition{Absent: true})
		})
	}
	wg.Wait()
	for _, err := range errs {
		switch {
		case err == nil:
			written++
		case KindOf(err) != Changed:
			return 0, err
		}
	}
	return written, nil
}

func orUnsupported(err, unsupported error) error {
	if err != nil {
		return err
	}
	return unsupported
}
