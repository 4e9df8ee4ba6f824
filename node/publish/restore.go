package publish

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"sync"

	"seedbed/node"
)

// RestoreConfig configures Restore.
type RestoreConfig struct {
	// Key returns the secret key with the given name.
	Key func(name string) (ed25519.PrivateKey, error)
	// Sharing and Overrule are used as in Config.
	Sharing
	Overrule bool
	// Resumed is called for each publication as soon as it is resumed, from any goroutine. It may be nil.
	Resumed func(*Publication)
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

// resumeAtOnce is the number of publications that Resume resumes at the same time. Each
// spends most of the time waiting for the DHT.
const resumeAtOnce = 8

// Restore opens and resumes every publication in the state directory that has not ended, each from
// its recorded path and with its recorded options. A failure does not affect the others: failed has a
// *RestoreError for each publication that could not be resumed and a *node.DamagedError for
// each unreadable record.
func (p *Publisher) Restore(ctx context.Context, cfg RestoreConfig) (restored []*Publication, failed []error) {
	return p.Reopen(cfg).Resume(ctx)
}

// Reopened has the publications on record, which Resume resumes.
type Reopened struct {
	publisher *Publisher
	cfg       RestoreConfig
	list      []reopenedOne
	failed    []error // about records that cannot be read
}

type reopenedOne struct {
	what Published
	pub  *Publication // with making locked; nil with an error
	err  error
}

// Reopen is the first half of Restore. It reads only the records; from then on, Open returns the
// publications. The caller must call Resume, and every other operation on a publication waits until
// Resume has resumed it. That can take minutes, because it reads what is published and asks the DHT.
func (p *Publisher) Reopen(cfg RestoreConfig) *Reopened {
	r := &Reopened{publisher: p, cfg: cfg}
	list, err := List(p.node.StateDir())
	if many, ok := err.(interface{ Unwrap() []error }); ok {
		r.failed = many.Unwrap()
	} else if err != nil {
		r.failed = []error{err}
	}
	for _, one := range list {
		if one.Ended {
			continue
		}
		pub, err := p.reopen(&one, &cfg)
		r.list = append(r.list, reopenedOne{one, pub, err})
	}
	return r
}

func (p *Publisher) reopen(one *Published, cfg *RestoreConfig) (*Publication, error) {
	key, err := cfg.Key(one.KeyName)
	if err != nil {
		return nil, err
	}
	if public := fmt.Sprintf("%x", key.Public()); public != one.Key {
		return nil, errors.New("the key with this name is not the key that it was published under")
	}
	c := Config{Key: key, Salt: []byte(one.Salt)}
	if err := c.Validate(); err != nil {
		return nil, err
	}
	return p.openPublication(&c)
}

// Resume is the second half of Restore. It is called once.
func (r *Reopened) Resume(ctx context.Context) (restored []*Publication, failed []error) {
	var wg sync.WaitGroup
	slots := make(chan struct{}, resumeAtOnce)
	for i := range r.list {
		one := &r.list[i]
		if one.err != nil {
			continue
		}
		slots <- struct{}{}
		wg.Go(func() {
			done := sync.OnceFunc(func() { <-slots })
			defer done()
			one.pub.onWait = done // so that those that wait for the object store do not hold up the others
			one.err = r.resume(ctx, one.pub)
		})
	}
	wg.Wait()
	failed = r.failed
	for _, one := range r.list {
		if errors.Is(one.err, node.ErrClosed) {
			continue // it was ended meanwhile
		}
		if one.err != nil {
			failed = append(failed, &RestoreError{one.what.KeyName, one.what.Salt, one.err})
		} else {
			restored = append(restored, one.pub)
		}
	}
	return restored, failed
}

func (r *Reopened) resume(ctx context.Context, pub *Publication) error {
	err := pub.begin(ctx, &Config{Key: pub.user, Salt: pub.folder.file.Salt, Sharing: r.cfg.Sharing, Overrule: r.cfg.Overrule})
	if err == nil && r.cfg.Resumed != nil {
		r.cfg.Resumed(pub)
	}
	return err
}
