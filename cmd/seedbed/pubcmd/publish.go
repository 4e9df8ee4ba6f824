// Package pubcmd has the commands that publish under a key and follow what others publish:
// publish, follow and key.
package pubcmd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/making"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/session"
	"seedbed/cmd/seedbed/settings"
	"seedbed/cmd/seedbed/torrentcmd"
	"seedbed/internal/objectstore"
	"seedbed/internal/option"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/api/client"
	"seedbed/node/delegate"
	"seedbed/node/publish"
)

// Publish returns the command publish.
func Publish(a *app.App) *cobra.Command {
	var c app.Flags
	var m making.Flags
	var p publishing
	var target *remotecmd.Target
	cmd := &cobra.Command{
		Use:   "publish PATH|s3://BUCKET/PREFIX [--key NAME]",
		Short: "Share a file or folder under a permanent link",
		Long: `Share a file or folder under a link that stays the same when the content changes. The
link contains a key instead of a hash. After a change run the command again, or use
--watch, and everyone who follows the link downloads what is new. The command seeds
the data and keeps the link alive in the DHT until Ctrl-C; see docs/publishing.md.
Without --key it is the same as seedbed seed.

The key is created if it does not exist. One key can publish several things, each
with its own --salt.

With --secret, only those can read it who have the secret in the link; a second link
is for machines that help to keep it alive, and cannot read it. See docs/privacy.md.

With s3://BUCKET/PREFIX it publishes the objects below a prefix of an object store, or
one object, without a local copy. The place is that of --store or anywhere below it;
without --store, it is the store. See docs/fleet.md.

If another seedbed process publishes under the key, --rollback asks that process to do
the rollback, prints the result and exits.

If a daemon runs with the same state directory, it publishes, and keeps doing so after
restarts; the command exits when that is done. See seedbed publications.`,
		Example: `  seedbed publish site/ --key site --watch
  seedbed publish s3://bucket/site --key site --watch
  seedbed publish --all
  seedbed publish --history site
  seedbed publish --rollback 3 --key site
  seedbed publish --dns-record example.org --key site`,
		RunE: func(cmd *cobra.Command, args []string) error {
			p.App = a
			if p.history != "" {
				return p.showHistory(cmd.Context(), target, c.State())
			}
			if p.dnsRecord != "" {
				if len(args) > 0 {
					return exit.Misuse(errors.New("--dns-record publishes nothing: leave out the path"))
				}
				return p.showRecord(cmd.Context(), &c)
			}
			if err := p.parseArgs(cmd, args); err != nil {
				return err
			}
			if err := p.readDelegation(cmd.Context()); err != nil {
				return err
			}
			p.isEverySet = cmd.Flags().Changed("watch-every")
			running, err := target.Running(cmd.Context())
			if err != nil {
				return err
			}
			if flag := m.OfFiles(); flag != "" && objectstore.IsLocation(p.path) {
				return exit.Misuse(fmt.Errorf("--%s is for files on a disk, and %s is in an object store", flag, p.path))
			}
			if running != nil && (p.key != "" || p.all || !target.IsLocal()) {
				return p.handOver(cmd, target, running, &m)
			}
			format := making.DefaultFormat
			if p.key != "" {
				format = publish.DefaultFormat
			}
			o, err := m.Options(a, format)
			if err != nil {
				return err
			}
			seeding := torrentcmd.Seeding{App: a, Flags: &c, Making: &m, Options: o}
			if running != nil {
				return seeding.HandOver(cmd, target, running, new(hook.Hooks), args)
			}
			cfg, err := c.NodeConfig(cmd.Context())
			if err != nil {
				return err
			}
			if p.key == "" && !p.all {
				if err := c.CheckCache(cmd.Flags(), settings.FromFlag); err != nil {
					return err
				}
				return seeding.Run(cmd.Context(), &session.Session{App: a, Config: cfg, Timeout: c.Timeout, Stay: true, Seeding: true}, args)
			}
			if err := p.chooseStore(cmd.Context(), &c); err != nil {
				return err
			}
			if err := c.CheckCache(cmd.Flags(), settings.FromFlag); err != nil {
				return err
			}
			closeStore, err := a.OpenStore(cmd.Context(), &c, &cfg) // it has the numbers that other publishers have taken
			if err != nil {
				return err
			}
			defer closeStore()
			p.cfg, p.webSeeds = cfg, webSeedsOf(&m)
			switch {
			case p.all:
				return p.resumeAll(cmd.Context())
			case p.path == "":
				return p.publishOne(cmd.Context(), nil)
			}
			return p.publishOne(cmd.Context(), explicitOptions(cmd, o))
		},
	}
	fs := cmd.Flags()
	c.AddNetwork(fs)
	c.AddStore(fs)
	target = remotecmd.AddTarget(fs, c.Values)
	m.Add(cmd)
	fs.StringVar(&p.key, "key", "", "publish under the key of this `NAME`")
	fs.StringVar(&p.salt, "salt", "", "`TEXT` that distinguishes several publications of one key")
	fs.BoolVar(&p.secret, "secret", false, "encrypt it: only those who have its link can read it")
	fs.StringVar(&p.delegation, "delegation", "", "publish under the link of the owner who has made `FILE` (see seedbed key delegate); needed once, and again after a renewal")
	fs.BoolVar(&p.watch, "watch", false, "publish changes once the folder has stopped changing")
	p.every = 2 * time.Second
	fs.Var(option.Span{To: &p.every}, "watch-every", "with --watch, check for changes this often (for objects every 30s without this flag)")
	fs.BoolVar(&p.all, "all", false, "resume every publication of this state directory")
	fs.StringVar(&p.history, "history", "", "list the versions published under the key of this `NAME`")
	fs.StringVar(&p.dnsRecord, "dns-record", "", "print the DNS record that makes `DOMAIN` the name of the publication, and whether it is there")
	fs.Int64Var(&p.rollback, "rollback", 0, "publish version `N` again under a new number")
	fs.BoolVar(&p.overrule, "overrule", false, "continue from a version that another machine has published under the key")
	return cmd
}

// publishing is one run of the publish command with keys.
type publishing struct {
	*app.App
	cfg       node.Config
	key, salt string
	// delegation is the path of a delegation file, and statement what is in it.
	delegation string
	statement  *delegate.Statement
	path       string // what to publish under the key; "" for what was published before
	webSeeds   []string
	watch      bool
	every      time.Duration
	isEverySet bool
	all        bool
	history    string
	dnsRecord  string // a domain
	rollback   int64
	overrule   bool
	secret     bool
}

// handOver has a running daemon publish.
func (p *publishing) handOver(cmd *cobra.Command, t *remotecmd.Target, c *client.Client, m *making.Flags) (err error) {
	switch {
	case p.all:
		return exit.Misuse(errors.New("--all is for running without a daemon: the daemon has resumed every publication"))
	case p.key == "":
		return exit.Misuse(errors.New("a daemon publishes under a key: give --key NAME, or share the file with seedbed add"))
	}
	format := []string{"v1", "v2", "hybrid"}
	if err := t.Misfit(cmd, append(format, "piece-length", "web-seed", "key", "salt", "secret", "watch", "watch-every", "rollback", "overrule", "delegation")...); err != nil {
		return err
	}
	if p.key != "" && p.path == "" && p.rollback == 0 && p.watch {
		return exit.Misuse(errors.New("--watch needs the path"))
	}
	body := api.PublishBody{Key: p.key, Salt: p.salt, WebSeeds: webSeedsOf(m), Overrule: p.overrule, Secret: p.secret}
	if body.Path = p.path; !objectstore.IsLocation(p.path) {
		if body.Path, err = t.Dir(p.path); err != nil {
			return err
		}
	}
	if p.statement != nil {
		body.Delegation = string(p.statement.Append(nil))
		if _, err := delegate.CheckExpiry(p.statement.Expiry, time.Now(), delegate.AskOwner); err != nil {
			p.Warn(err)
		}
	}
	if p.watch {
		body.Watch = p.interval(p.path).Seconds()
	}
	o, err := m.Options(p.App, publish.DefaultFormat)
	if err != nil {
		return err
	}
	if explicitOptions(cmd, o) != nil {
		body.Format, body.PieceLength = o.Format.String(), o.PieceLength
	}
	h := &handover.Publish{App: p.App, Target: t, Client: c, Body: body, Rollback: p.rollback}
	return h.Run(cmd.Context())
}

// torrentFileFlags are the flags of making that affect only a .torrent file.
var torrentFileFlags = []string{"comment", "date", "tracker", "node"}

// parseArgs checks that the flags and arguments can be combined. It sets path and, for
// --rollback N NAME, key.
func (p *publishing) parseArgs(cmd *cobra.Command, args []string) error {
	changed := cmd.Flags().Changed
	if p.rollback != 0 && len(args) == 1 && p.key == "" {
		p.key, args = args[0], nil
	}
	underKey := p.key != "" || p.all
	switch {
	case underKey && slices.ContainsFunc(torrentFileFlags, changed):
		return exit.Misuse(fmt.Errorf("--%s cannot be used with --key: they only affect a .torrent file, which followers do not get", strings.Join(torrentFileFlags, ", --")))
	case p.secret && p.key == "":
		return exit.Misuse(errors.New("--secret needs --key NAME: what is private is published under a key"))
	case p.secret && (changed("v1") || changed("hybrid")):
		return exit.Misuse(errors.New("--secret makes a v2 torrent: leave out --v1 and --hybrid"))
	case p.secret && (changed("web-seed") || changed("source")):
		return exit.Misuse(errors.New("--secret cannot be combined with --web-seed or --source: mirrors would have to serve the files unencrypted, and a source would identify the publisher"))
	case changed("watch") && !underKey:
		return exit.Misuse(errors.New("--watch needs --key: a link without a key always leads to the same content"))
	case p.all && (len(args) > 0 || p.key != ""):
		return exit.Misuse(errors.New("--all cannot be combined with a path or a key: it resumes everything that was published before"))
	case !p.all && p.rollback != 0 && (len(args) > 0 || p.key == ""):
		return exit.Misuse(errors.New("--rollback N takes the name of a key and nothing else"))
	case p.key != "" && len(args) > 1:
		return exit.Misuse(errors.New("a key publishes one file or folder at a time; use a different --salt for each"))
	case p.key != "" && len(args) == 1:
		p.path = args[0]
		return p.checkSource()
	case slices.ContainsFunc(args, objectstore.IsLocation):
		return exit.Misuse(errors.New("what is in an object store is published under a key: give --key NAME, or make a torrent of it with seedbed create"))
	}
	return nil
}

// readDelegation reads the file of --delegation. Its salt is that of the publication, unless the user
// gives another one, which is then refused.
func (p *publishing) readDelegation(ctx context.Context) (err error) {
	switch {
	case p.delegation == "":
		return nil
	case p.key == "":
		return exit.Misuse(errors.New("--delegation needs --key, the name of the key that it names"))
	case p.rollback != 0:
		return exit.Misuse(errors.New("--delegation cannot be combined with --rollback; publish with it first"))
	}
	if p.statement, err = readDelegation(ctx, p.delegation); err == nil && p.salt == "" {
		p.salt = string(p.statement.Item.Salt)
	}
	return err
}

// webSeedsOf returns the HTTP mirrors that the flags name. With --web-seed none it is empty, and without the flag nil.
func webSeedsOf(m *making.Flags) []string {
	if m.NoWebSeed {
		return []string{}
	}
	return m.WebSeeds
}

// explicitOptions returns o if any of its flags was set. Otherwise it returns nil, and the
// recorded options apply.
func explicitOptions(cmd *cobra.Command, o node.ShareOptions) *node.ShareOptions {
	if slices.ContainsFunc(making.InfohashFlags, cmd.Flags().Changed) {
		return &o
	}
	return nil
}
