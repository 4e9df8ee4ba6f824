package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"
)

// RestoreConfig configures Restore.
type RestoreConfig struct {
	// Key returns the secret key with the given name.
	Key func(name string) (ed25519.PrivateKey, error)
	// Sharing and Overrule are as in Config.
	Sharing
	Overrule bool
}

// RestoreError reports a publication that Restore could not resume.
type RestoreError struct {
	KeyName, Salt string
	Err           error
}

func (e *RestoreError) Error() string {
	if e.Salt != "" {
		return fmt.Sprintf("%s (salt %q) is not published: %v", e.KeyName, e.Salt, e.Err)
	}
	return fmt.Sprintf("%s is not published: %v", e.KeyName, e.Err)
}

func (e *RestoreError) Unwrap() error { return e.Err }

// restoreAtOnce is how many publications Restore resumes at the same time. Each spends most
// of the time waiting for the DHT.
const restoreAtOnce = 8

// Restore resumes every publication that the state directory has on record, each from its
// path and with its options. A failure does not affect the others: failed has a
// *RestoreError for each publication that could not be resumed and a *node.DamagedError for each
// unreadable record.
func (p *Publisher) Restore(ctx context.Context, cfg RestoreConfig) (restored []*Publication, failed []error) {
	list, err := List(p.node.StateDir())
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		failed = many.Unwrap()
	} else if err != nil {
		return nil, []error{err}
	}
	pubs, errs := make([]*Publication, len(list)), make([]error, len(list))
	var wg sync.WaitGroup
	slots := make(chan struct{}, restoreAtOnce)
	for i, one := range list {
		slots <- struct{}{}
		wg.Go(func() {
			defer func() { <-slots }()
			pubs[i], errs[i] = p.restore(ctx, one, &cfg)
		})
	}
	wg.Wait()
	for i, one := range list {
		if errs[i] != nil {
			failed = append(failed, &RestoreError{one.KeyName, one.Salt, errs[i]})
		} else {
			restored = append(restored, pubs[i])
		}
	}
	return restored, failed
}

func (p *Publisher) restore(ctx context.Context, one Published, cfg *RestoreConfig) (*Publication, error) {
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	key, err := cfg.Key(one.KeyName)
	if err != nil {
		return nil, err
	}
	if public := fmt.Sprintf("%x", key.Public()); public != one.Key {
		return nil, errors.New("the key of this name is another one than when it was published")
	}
	return p.Publish(ctx, Config{Key: key, Salt: []byte(one.Salt), Sharing: cfg.Sharing, Overrule: cfg.Overrule})
}
