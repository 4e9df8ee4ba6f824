package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/node"
	"seedbed/node/publish"
)

func (a *app) publishCommand() *cobra.Command {
	var c common
	var m making
	var p publishing
	cmd := &cobra.Command{
		Use:   "publish PATH [--key NAME]",
		Short: "Share a file or folder under a link that stays when it changes",
		Long: `Publish a file or folder. Without a key that is seedbed seed. With a key the link names
the key: what it leads to can change. Run it again after a change, or with --watch,
and those who follow the link fetch what is new. It goes on until Ctrl-C, seeding,
and keeping alive what the DHT has; see docs/publishing.md.

The key is made if there is none of that name. One key can publish several things,
each under its --salt.`,
		Example: `  seedbed publish site/ --key site --watch
  seedbed publish --all
  seedbed publish --history site
  seedbed publish --rollback 3 site`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.history != "" {
				return a.history(stateDir(c.state), p.history, p.salt)
			}
			cfg, err := a.nodeConfig(&c)
			if err != nil {
				return err
			}
			o, err := m.options(a)
			if err != nil {
				return err
			}
			p.app, p.cfg = a, cfg
			if cmd.Flags().Changed("watch") && p.key == "" && !p.all {
				return usage(errors.New("--watch goes with --key: a link without a key cannot lead to something new"))
			}
			switch {
			case p.all:
				if len(args) > 0 || p.key != "" {
					return usage(errors.New("--all takes no path and no key: it publishes again all that was published before"))
				}
				return p.everything(cmd.Context())
			case p.rollback != 0:
				if len(args) != 1 {
					return usage(errors.New("--rollback N takes the name of a key"))
				}
				p.key = args[0]
				return p.one(cmd.Context(), "", nil)
			case p.key == "":
				return a.seedPaths(cmd.Context(), cfg, args, &c, &m, o)
			case len(args) > 1:
				return usage(errors.New("a key publishes one file or folder at a time; give each a --salt of its own"))
			case len(args) == 0:
				return p.one(cmd.Context(), "", nil)
			}
			return p.one(cmd.Context(), args[0], chosen(cmd, o))
		},
	}
	fs := cmd.Flags()
	c.addNetwork(fs)
	c.addState(fs)
	m.add(cmd)
	fs.StringVar(&p.key, "key", "", "publish under the key of this `NAME`")
	fs.StringVar(&p.salt, "salt", "", "`TEXT` that tells apart what one key publishes")
	fs.BoolVar(&p.watch, "watch", false, "publish what changes, when it has been left alone for a moment")
	fs.DurationVar(&p.every, "watch-every", 2*time.Second, "with --watch, look this often")
	fs.BoolVar(&p.all, "all", false, "publish again all that this state directory has published")
	fs.StringVar(&p.history, "history", "", "list the versions that were published under the key of this `NAME`")
	fs.Int64Var(&p.rollback, "rollback", 0, "publish version `N` of the key that is named again")
	fs.BoolVar(&p.overrule, "overrule", false, "go on from a version that another machine has put under the key")
	return cmd
}

// publishing is a run of publish with keys.
type publishing struct {
	*app
	cfg       node.Config
	key, salt string
	watch     bool
	every     time.Duration
	all       bool
	history   string
	rollback  int64
	overrule  bool
}

// chosen is the options if any of them was given; else nil, which leaves them to what
// is on record.
func chosen(cmd *cobra.Command, o node.ShareOptions) *node.ShareOptions {
	if slices.ContainsFunc(makingFlags, cmd.Flags().Changed) {
		return &o
	}
	return nil
}

// one publishes under one key, and stays.
func (p *publishing) one(ctx context.Context, path string, o *node.ShareOptions) error {
	keys := node.OpenKeys(p.cfg.State)
	key, err := keys.Open(p.key)
	var f *node.Fault
	if errors.As(err, &f) && f.Kind == node.FaultVanished && path != "" {
		key = node.NewKey()
		if err = keys.Save(p.key, key); err == nil && !p.quiet {
			report.Fprintf(p.output().Stderr(), "seedbed: the key %q is new; keep a copy in a safe place: seedbed key export %s -o FILE\n", p.key, p.key)
		}
	}
	if err != nil {
		return err
	}
	if path != "" {
		if err := checkSource(path); err != nil {
			return err
		}
	}
	if p.rollback != 0 {
		if done, err := p.askPublisher(ctx, key); done {
			return err
		}
	}
	return p.withNode(ctx, p.cfg, func(ctx context.Context, n *node.Node) error {
		publisher, err := publish.New(n)
		if err != nil {
			return err
		}
		progress := report.NewHashBar(p.output(), p.key)
		pub, err := publisher.Publish(ctx, publish.Config{Key: key, KeyName: p.key, Salt: []byte(p.salt), Path: path, Options: o,
			Rollback: p.rollback, Overrule: p.overrule, Warn: p.warn, Progress: progress.Set})
		progress.Close()
		if errors.Is(err, context.Canceled) {
			return fail(exitUnfinished, "", errors.New("stopped before it was published"))
		}
		if err != nil {
			return err
		}
		if p.watch {
			return pub.Watch(ctx, p.every)
		}
		<-ctx.Done()
		return nil
	})
}

// askPublisher asks the process that publishes under a key to do the rollback. done is
// false if there is none.
func (p *publishing) askPublisher(ctx context.Context, key ed25519.PrivateKey) (done bool, err error) {
	answer, err := publish.RequestRollback(ctx, p.cfg.State, key.Public().(ed25519.PublicKey), []byte(p.salt), p.rollback, p.overrule)
	switch {
	case errors.Is(err, publish.ErrNotPublishing):
		return false, nil
	case errors.Is(err, context.Canceled):
		return true, fail(exitUnfinished, "", errors.New("stopped before the running seedbed process answered"))
	case err != nil:
		return true, err
	case p.json:
		return true, p.put(answer)
	}
	p.say("%s: version %d is published again as version %d, by the seedbed process that is running", p.key, p.rollback, answer.Seq)
	p.result("%s", answer.Link)
	return true, nil
}

// everything publishes everything again. What cannot be published is reported, and the
// rest goes on.
func (p *publishing) everything(ctx context.Context) error {
	list, err := publish.List(p.cfg.State)
	if len(list) == 0 {
		if err == nil {
			err = fail(exitNotFound, "seedbed publish PATH --key NAME", errors.New("nothing was published from this state directory"))
		}
		return err
	}
	return p.withNode(ctx, p.cfg, func(ctx context.Context, n *node.Node) error {
		publisher, err := publish.New(n)
		if err != nil {
			return err
		}
		pubs, failed := publisher.Restore(ctx, publish.RestoreConfig{Key: node.OpenKeys(p.cfg.State).Open, Warn: p.warn, Overrule: p.overrule})
		if ctx.Err() != nil {
			return nil
		}
		for _, err := range failed {
			p.warn(err)
		}
		if len(pubs) == 0 {
			return fail(exitUnknown, "", errors.New("nothing could be published"))
		}
		watching := make(chan error, len(pubs))
		for _, pub := range pubs {
			if p.watch {
				go func() { watching <- pub.Watch(ctx, p.every) }()
			}
		}
		for {
			select {
			case err := <-watching:
				if err != nil {
					p.warn(err)
				}
			case <-ctx.Done():
				return nil
			}
		}
	})
}

// history lists the versions that were published under a key.
func (a *app) history(state, name, salt string) error {
	list, unread := publish.List(state)
	for _, p := range list {
		if p.KeyName != name || p.Salt != salt {
			continue
		}
		if a.json {
			return a.put(struct {
				Key      string            `json:"public_key"`
				Name     string            `json:"name"`
				Salt     string            `json:"salt,omitempty"`
				Path     string            `json:"path"`
				Link     string            `json:"link"`
				Versions []publish.Version `json:"versions"`
			}{p.Key, p.KeyName, p.Salt, p.Path, p.Link, p.Versions})
		}
		a.say("%s, from %s", report.Exact(p.Link), report.Exact(p.Path))
		width := len(strconv.FormatInt(p.Versions[len(p.Versions)-1].Seq, 10))
		for _, v := range p.Versions {
			a.result("%*d  %s  %s  %8s in %s", width, v.Seq, v.Time.Local().Format("2006-01-02 15:04:05"), v.InfoHash, report.Size(v.Size), report.Plural(v.Files, "file"))
		}
		return nil
	}
	if unread != nil {
		return unread
	}
	return fail(exitNotFound, "seedbed key list shows the keys; several publications of one key differ in --salt", fmt.Errorf("nothing was published under the key %q", name))
}
