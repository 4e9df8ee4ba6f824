package main

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
	"seedbed/node"
	"seedbed/node/keys"
	"seedbed/node/publish"
	"seedbed/node/view"
)

func (a *app) publishCommand() *cobra.Command {
	var c common
	var m making
	var p publishing
	cmd := &cobra.Command{
		Use:   "publish PATH [--key NAME]",
		Short: "Share a file or folder under a permanent link",
		Long: `Share a file or folder under a link that stays the same when the content changes. The
link contains a key instead of a hash. After a change run the command again, or use
--watch, and everyone who follows the link downloads what is new. The command seeds
the data and keeps the link alive in the DHT until Ctrl-C; see docs/publishing.md.
Without --key it is the same as seedbed seed.

The key is created if it does not exist. One key can publish several things, each
with its own --salt.

If another seedbed process publishes under the key, --rollback asks that process to do
the rollback, prints the result and exits.`,
		Example: `  seedbed publish site/ --key site --watch
  seedbed publish --all
  seedbed publish --history site
  seedbed publish --rollback 3 --key site`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if p.history != "" {
				return a.history(c.State(), p.history, p.salt)
			}
			cfg, err := c.nodeConfig()
			if err != nil {
				return err
			}
			o, err := m.options(a)
			if err != nil {
				return err
			}
			p.app, p.cfg, p.webSeeds = a, cfg, m.webSeeds.Values
			if (p.key != "" || p.all) && slices.ContainsFunc(torrentFileFlags, cmd.Flags().Changed) {
				return usage(fmt.Errorf("--%s do not go with --key: they are for a .torrent file, which followers do not get", strings.Join(torrentFileFlags, ", --")))
			}
			if cmd.Flags().Changed("watch") && p.key == "" && !p.all {
				return usage(errors.New("--watch goes with --key: a link without a key always leads to the same content"))
			}
			switch {
			case p.all:
				if len(args) > 0 || p.key != "" {
					return usage(errors.New("--all takes no path and no key: it resumes everything that was published before"))
				}
				return p.everything(cmd.Context())
			case p.rollback != 0:
				if len(args) == 1 && p.key == "" {
					p.key, args = args[0], nil
				}
				if len(args) > 0 || p.key == "" {
					return usage(errors.New("--rollback N takes the name of a key and nothing else"))
				}
				return p.one(cmd.Context(), "", nil)
			case p.key == "":
				return a.seedPaths(cmd.Context(), &session{app: a, cfg: cfg, timeout: c.Timeout, stay: true, seeding: true}, args, &c, &m, o)
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
	m.add(cmd)
	fs.StringVar(&p.key, "key", "", "publish under the key of this `NAME`")
	fs.StringVar(&p.salt, "salt", "", "`TEXT` that distinguishes several publications of one key")
	fs.BoolVar(&p.watch, "watch", false, "publish changes once the folder has stopped changing")
	p.every = 2 * time.Second
	fs.Var(settings.Span{To: &p.every}, "watch-every", "with --watch, check for changes this often")
	fs.BoolVar(&p.all, "all", false, "resume every publication of this state directory")
	fs.StringVar(&p.history, "history", "", "list the versions published under the key of this `NAME`")
	fs.Int64Var(&p.rollback, "rollback", 0, "publish version `N` again under a new number")
	fs.BoolVar(&p.overrule, "overrule", false, "continue from a version that another machine has published under the key")
	return cmd
}

// publishing is one run of the publish command with keys.
type publishing struct {
	*app
	cfg       node.Config
	key, salt string
	webSeeds  []string
	watch     bool
	every     time.Duration
	all       bool
	history   string
	rollback  int64
	overrule  bool
}

// torrentFileFlags are the flags of making that affect only a .torrent file.
var torrentFileFlags = []string{"comment", "date", "tracker", "node"}

// sharing returns what publications leave out, and where warnings go.
func (p *publishing) sharing() publish.Sharing {
	return publish.Sharing{Omit: p.own(p.cfg.State).has, Warn: p.warn}
}

// chosen returns the options if any of their flags was set, else nil: then the recorded
// options apply.
func chosen(cmd *cobra.Command, o node.ShareOptions) *node.ShareOptions {
	if slices.ContainsFunc(makingFlags, cmd.Flags().Changed) {
		return &o
	}
	return nil
}

// one publishes under one key until ctx ends.
func (p *publishing) one(ctx context.Context, path string, o *node.ShareOptions) error {
	store := keys.Open(p.cfg.State)
	key, err := store.Key(p.key)
	var f *node.Fault
	if errors.As(err, &f) && f.Kind == node.FaultVanished && path != "" {
		key = keys.New()
		if err = store.Save(p.key, key); err == nil && !p.quiet {
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
			WebSeeds: p.webSeeds, Sharing: p.sharing(), Rollback: p.rollback, Overrule: p.overrule, Progress: progress.Set})
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

// askPublisher asks the process that publishes under a key to do the rollback. done is false
// if no process does.
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
		return true, p.put(&view.RolledBack{Link: answer.Link, Seq: answer.Seq, FromSeq: p.rollback})
	}
	p.say("%s: version %d is published again as version %d, by the seedbed process that is running", p.key, p.rollback, answer.Seq)
	p.result("%s", answer.Link)
	return true, nil
}

// everything resumes every publication. It reports those that it cannot resume and continues
// with the others; its error sets the exit code at the end.
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
		pubs, failed := publisher.Restore(ctx, publish.RestoreConfig{Key: keys.Open(p.cfg.State).Key, Sharing: p.sharing(), Overrule: p.overrule})
		if ctx.Err() != nil {
			return nil
		}
		all := len(pubs) + len(failed)
		var bad failures
		for _, err := range failed {
			bad.add(err)
			if all > 1 {
				p.warn(err)
			}
		}
		if len(pubs) == 0 {
			return bad.resultOf(all, "publication")
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
					bad.add(err)
					p.warn(err)
				}
			case <-ctx.Done():
				return bad.resultOf(all, "publication")
			}
		}
	})
}

// history lists the versions published under a key.
func (a *app) history(state, name, salt string) error {
	list, unread := publish.List(state)
	for _, p := range list {
		if p.KeyName != name || p.Salt != salt {
			continue
		}
		if a.json {
			h := &view.History{PublicKey: p.Key, Name: p.KeyName, Salt: p.Salt, Path: p.Path, Link: p.Link}
			for _, v := range p.Versions {
				h.Versions = append(h.Versions, view.PastVersion{Seq: v.Seq, InfoHash: v.InfoHash, InfoHashV2: v.InfoHashV2,
					Name: v.Name, Size: v.Size, FileCount: v.Files, Time: v.Time.Format(time.RFC3339Nano)})
			}
			return a.put(h)
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
	return fail(exitNotFound, "list keys with seedbed key list; publications of one key differ by --salt", fmt.Errorf("nothing was published under the key %q", name))
}
