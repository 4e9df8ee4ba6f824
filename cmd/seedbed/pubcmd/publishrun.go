package pubcmd

import (
	"context"
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"slices"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/making"
	"seedbed/cmd/seedbed/report"
	"seedbed/node"
	"seedbed/node/keys"
	"seedbed/node/publish"
	"seedbed/node/view"
)

// publishOne publishes under one key until ctx ends.
func (p *publishing) publishOne(ctx context.Context, o *node.ShareOptions) error {
	key, isNew, err := p.openKey()
	if err != nil {
		return err
	}
	if p.rollback != 0 {
		if done, err := p.askPublisher(ctx, key); done {
			return err
		}
	}
	cfg := publish.Config{Key: key, KeyName: p.key, Salt: []byte(p.salt), Delegation: p.statement, Path: p.path, Options: o,
		WebSeeds: p.webSeeds, Sharing: p.sharing(), Rollback: p.rollback, Overrule: p.overrule, Secret: p.secret}
	if p.watch {
		cfg.Watch = p.interval(p.path)
	}
	if err := p.check(&cfg); err != nil {
		return err
	}
	return p.WithNode(ctx, p.cfg, func(ctx context.Context, n *node.Node) error {
		publisher, err := publish.New(n)
		if err != nil {
			return err
		}
		if isNew {
			if err := p.saveKey(key); err != nil {
				return err
			}
		}
		progress := report.NewHashBar(p.Output(), p.key)
		cfg.Progress = progress.Set
		pub, err := publisher.Publish(ctx, cfg)
		progress.Close()
		if errors.Is(err, context.Canceled) {
			return exit.Fail(exit.Unfinished, "", errors.New("stopped before it was published"))
		}
		if err != nil {
			return err
		}
		if p.watch {
			return pub.Watch(ctx, p.interval(pub.Describe().Path))
		}
		<-ctx.Done()
		return nil
	})
}

// openKey returns the key to publish under. If it does not exist and there is something to
// publish, it returns a new one, which is not saved yet.
func (p *publishing) openKey() (key ed25519.PrivateKey, isNew bool, err error) {
	key, err = keys.Open(p.cfg.State).Key(p.key)
	var f *node.Fault
	if errors.As(err, &f) && f.Kind == node.FaultVanished && p.path != "" {
		return keys.New(), true, nil
	}
	return key, false, err
}

// saveKey saves a new key.
func (p *publishing) saveKey(key ed25519.PrivateKey) error {
	err := keys.Open(p.cfg.State).Save(p.key, key)
	if err == nil && !p.Quiet {
		report.Fprintf(p.Output().Stderr(), "seedbed: the key %q is new; keep a copy in a safe place: seedbed key export %s -o FILE\n", p.key, p.key)
	}
	return err
}

// check returns the errors of Publish that can be found without a node.
func (p *publishing) check(cfg *publish.Config) error {
	if p.cfg.NoDHT {
		return publish.ErrNoDHT
	}
	if cfg.Path == "" {
		public := hex.EncodeToString(cfg.Key.Public().(ed25519.PublicKey))
		list, err := publish.List(p.cfg.State)
		if err == nil && !slices.ContainsFunc(list, func(r publish.Published) bool { return r.Key == public && r.Salt == p.salt }) {
			return publish.ErrNoPath
		}
	}
	return cfg.Validate()
}

// askPublisher asks the process that publishes under a key to do the rollback. done is false
// if no process does.
func (p *publishing) askPublisher(ctx context.Context, key ed25519.PrivateKey) (done bool, err error) {
	answer, err := publish.RequestRollback(ctx, p.cfg.State, key.Public().(ed25519.PublicKey), []byte(p.salt), p.rollback, p.overrule)
	switch {
	case errors.Is(err, publish.ErrNotPublishing):
		return false, nil
	case errors.Is(err, context.Canceled):
		return true, exit.Fail(exit.Unfinished, "", errors.New("stopped before the running seedbed process answered"))
	case err != nil:
		return true, err
	case p.JSON:
		return true, p.Put(&view.RolledBack{Link: answer.Link, Seq: answer.Seq, FromSeq: p.rollback})
	}
	p.Say("%s: version %d is published again as version %d, by the seedbed process that is running", p.key, p.rollback, answer.Seq)
	p.Result("%s", answer.Link)
	return true, nil
}

// resumeAll resumes every publication. It reports those that it cannot resume and continues
// with the others; its error sets the exit code at the end.
func (p *publishing) resumeAll(ctx context.Context) error {
	list, err := publish.List(p.cfg.State)
	if !slices.ContainsFunc(list, func(r publish.Published) bool { return !r.Ended }) {
		if err == nil {
			err = exit.Fail(exit.NotFound, "seedbed publish PATH --key NAME", errors.New("nothing is published from this state directory"))
		}
		return err
	}
	if p.cfg.NoDHT {
		return publish.ErrNoDHT
	}
	return p.WithNode(ctx, p.cfg, func(ctx context.Context, n *node.Node) error {
		publisher, err := publish.New(n)
		if err != nil {
			return err
		}
		watching := make(chan error, len(list))
		watch := func(pub *publish.Publication) {
			go func() { watching <- pub.Watch(ctx, p.interval(pub.Describe().Path)) }()
		}
		if !p.watch {
			watch = nil
		}
		pubs, failed := publisher.Restore(ctx, publish.RestoreConfig{Key: keys.Open(p.cfg.State).Key, Sharing: p.sharing(), Overrule: p.overrule, Resumed: watch})
		if ctx.Err() != nil {
			return nil
		}
		all := len(pubs) + len(failed)
		var bad exit.Failures
		for _, err := range failed {
			bad.Add(err)
			if all > 1 {
				p.Warn(err)
			}
		}
		if len(pubs) == 0 {
			return bad.ResultOf(all, "publication")
		}
		for {
			select {
			case err := <-watching:
				if err != nil {
					bad.Add(err)
					p.Warn(err)
				}
			case <-ctx.Done():
				return bad.ResultOf(all, "publication")
			}
		}
	})
}

// sharing returns what publications leave out, and where warnings go.
func (p *publishing) sharing() publish.Sharing {
	return publish.Sharing{Omit: making.OwnFiles(p.App, p.cfg.State).Has, Warn: p.Warn}
}
