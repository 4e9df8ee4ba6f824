package pubcmd

import (
	"cmp"
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"math"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/query"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/internal/userfile"
	"seedbed/magnet"
	"seedbed/magnet/mutable"
	"seedbed/node/api/client"
	"seedbed/node/delegate"
	"seedbed/node/keys"
	"seedbed/node/publish"
	"seedbed/node/view"
)

// readDelegation reads a delegation file.
func readDelegation(ctx context.Context, path string) (*delegate.Statement, error) {
	b, err := userfile.Read(ctx, path, userfile.AllowPipes, delegate.MaxFile)
	if err != nil {
		return nil, exit.Fail(exit.CodeOf(err), "", exit.PathError(path, err))
	}
	s, err := delegate.Parse(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return s, nil
}

// showDelegation prints a statement.
func showDelegation(a *app.App, s *delegate.Statement) error {
	link := s.Link("").String()
	if a.JSON {
		o := &view.Delegation{Link: link, Number: s.Item.Seq, Expires: s.Expiry.UTC().Format(time.RFC3339), NewestSeq: s.Delegation.Number, Keys: []string{}}
		for _, key := range s.Keys {
			o.Keys = append(o.Keys, key.String())
		}
		if !s.InfoHash.IsZero() {
			o.InfoHash = s.InfoHash.String()
		}
		return a.Put(o)
	}
	for _, key := range s.Keys {
		a.Say("publishes  %s", key)
	}
	if len(s.Keys) == 0 {
		a.Say("publishes  nobody but the owner")
	}
	until := ""
	if time.Now().After(s.Expiry) {
		until = ", which has passed"
	}
	a.Say("until      %s%s", s.Expiry.Local().Format("2006-01-02 15:04"), until)
	if !s.InfoHash.IsZero() {
		a.Say("version    %d is %s", s.Delegation.Number, s.InfoHash)
	}
	a.Say("statement  number %d", s.Item.Seq)
	a.Result("%s", report.Exact(link))
	return nil
}

func keyShowDelegation(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use:   "show-delegation FILE",
		Short: "Show who may publish according to a delegation file",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			s, err := readDelegation(cmd.Context(), args[0])
			if err != nil {
				return err
			}
			return showDelegation(a, s)
		},
	}
}

// delegating is one run of the command key delegate.
type delegating struct {
	*app.App
	master ed25519.PrivateKey
	keys   []id.ID32     // that publish
	lasts  time.Duration // how long they may

	to       []string
	nobody   bool
	expires  string
	salt     string
	out      string
	infohash string
	version  int64
	seq      int64
	first    bool
}

func keyDelegate(a *app.App) *cobra.Command {
	d := delegating{App: a}
	c := new(app.Flags)
	var offline bool
	cmd := handover.Lookup{
		Flags:  c,
		Fit:    []string{"to", "nobody", "expires", "output", "salt", "infohash", "version-number", "seq", "first", "no-dht"},
		Needed: func([]string) (bool, error) { return !offline, nil },
		Visit: func(ctx context.Context, v *query.Visitor, _ []string) error {
			if v == nil {
				return d.run(ctx, c.State(), nil)
			}
			f := handover.InDHT(v)
			return d.run(ctx, c.State(), &f)
		},
		Ask: func(ctx context.Context, daemon *client.Client, _ []string) error {
			f := handover.WithDaemon(daemon)
			return d.run(ctx, c.State(), &f)
		},
	}.Command(a, &cobra.Command{
		Use:   "delegate MASTER --to KEY[,KEY...] -o FILE",
		Short: "Let other keys publish under the link of a key, or revoke that",
		Long: `Sign a statement that names the keys that publish under the link of the key MASTER, until
it expires. The secret of MASTER can then stay on a machine that is offline. A machine
that publishes needs its own key, whose public part is given with --to, and the file:
seedbed publish PATH --key NAME --delegation FILE. The file contains no secret.

Each statement replaces the one before. To renew it, name the same keys again. A key that
it does not name is revoked: followers leave its versions. --nobody revokes all. Put the
new file on a machine that publishes, with the same command as before.

Two statements must not have the same number. The last number is known here if MASTER has
published on this machine or has made a statement here, and the DHT is asked for a newer
one. If it does not answer, there is a warning; --no-dht does not ask it. The statement
also names the newest version, for clients that know only the key in the link. If neither
this machine nor the DHT knows what was published, give what seedbed show LINK prints on
another machine, or --first if nothing was published.`,
		Example: `  seedbed key delegate site --to 8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e -o site.delegation
  seedbed key delegate site --nobody -o site.delegation`,
		Args: cobra.ExactArgs(1),
	})
	lookup := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if err := d.parse(); err != nil {
			return err
		}
		if d.master, err = keys.Open(c.State()).Key(args[0]); err != nil {
			return err
		}
		return lookup(cmd, args)
	}
	fs := cmd.Flags()
	fs.StringSliceVar(&d.to, "to", nil, "the public `KEYS` that publish, at most 8, separated by commas")
	fs.BoolVar(&d.nobody, "nobody", false, "revoke all keys")
	fs.StringVar(&d.expires, "expires", "90d", "how `LONG` they may publish, such as 90d or 12h")
	fs.StringVarP(&d.out, "output", "o", "", "write `FILE`")
	fs.StringVar(&d.salt, "salt", "", "the `TEXT` of the publication's --salt")
	fs.StringVar(&d.infohash, "infohash", "", "the infohash (`HEX`) of the newest version")
	fs.Int64Var(&d.version, "version-number", 0, "the number `N` of the newest version")
	fs.Int64Var(&d.seq, "seq", 0, "the number `N` of the last item that the key has signed")
	fs.BoolVar(&d.first, "first", false, "nothing was published under the link")
	fs.BoolVar(&offline, "no-dht", false, "do not ask the DHT for a newer statement or version")
	return cmd
}

// run signs the next statement and writes its file. f asks the DHT; nil asks nobody.
func (d *delegating) run(ctx context.Context, state string, f *handover.Finder) error {
	next, err := d.known(state)
	if err != nil {
		return err
	}
	if f != nil {
		found, err := f.Newest(ctx, d.link())
		if err != nil && ctx.Err() == context.Canceled {
			return err
		}
		if err != nil {
			d.Warn(exit.Fail(exit.Unknown, "if another statement has been signed elsewhere since, run the command again with --seq and its number",
				fmt.Errorf("the DHT could not be asked for the newest statement: %w", err)))
		}
		next.learn(found, d.keys)
	}
	s, err := d.sign(next)
	if err != nil {
		return err
	}
	if err := delegate.Open(state).Save(s); err != nil { // before anyone can see it
		return err
	}
	if err := os.WriteFile(d.out, s.Append(nil), 0o644); err != nil {
		return exit.Fail(exit.CodeOf(err), "", exit.PathError(d.out, err))
	}
	return showDelegation(d.App, s)
}

// link returns the link of the publication.
func (d *delegating) link() *magnet.Link {
	return mutable.Link(id.ID32(d.master.Public().(ed25519.PublicKey)), []byte(d.salt), "")
}

// parse checks the flags and sets keys and lasts.
func (d *delegating) parse() error {
	if (len(d.to) == 0) != d.nobody {
		return exit.Misuse(errors.New("give the keys that publish with --to, or --nobody"))
	}
	if d.out == "" {
		return exit.Misuse(errors.New("give the file to write with -o"))
	}
	if d.infohash != "" && d.version < 1 {
		return exit.Misuse(errors.New("--infohash needs --version-number"))
	}
	for _, text := range d.to {
		key, err := id.ParseHex32(strings.TrimSpace(text))
		if err != nil {
			return exit.Misuse(fmt.Errorf("--to %q is not a public key of 64 hex digits; seedbed key list shows them", text))
		}
		d.keys = append(d.keys, key)
	}
	if len(d.keys) > mutable.MaxDelegates {
		return exit.Misuse(fmt.Errorf("--to names %d keys; %d is the most", len(d.keys), mutable.MaxDelegates))
	}
	if days, ok := strings.CutSuffix(d.expires, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err == nil && n > 0 {
			d.lasts = time.Duration(n) * 24 * time.Hour
			return nil
		}
	} else if lasts, err := time.ParseDuration(d.expires); err == nil && lasts > 0 {
		d.lasts = lasts
		return nil
	}
	return exit.Misuse(fmt.Errorf("--expires %q is not a length of time such as 90d or 12h", d.expires))
}

// last is what the next statement continues from.
type last struct {
	isKnown  bool
	seq      int64 // the highest number that the master key has signed
	number   int64 // of the newest version; 0 if nothing was published
	infohash id.ID // of that version
}

// consider records a version if it is the newest one.
func (l *last) consider(number int64, infohash id.ID) {
	if number > l.number && !infohash.IsZero() {
		l.number, l.infohash = number, infohash
	}
}

// known returns what the state directory knows.
func (d *delegating) known(state string) (l last, err error) {
	public := d.link().PublicKey
	was, err := delegate.Open(state).Load(public, []byte(d.salt))
	if err != nil {
		return l, err
	}
	l = last{isKnown: d.first || d.seq > 0, seq: d.seq}
	if was != nil {
		l.isKnown, l.seq = true, max(l.seq, was.Item.Seq)
		l.consider(cmp.Or(was.Delegation.Number, was.Item.Seq), was.InfoHash)
	}
	list, err := publish.List(state)
	if err != nil {
		return l, err // a damaged record may be the one with the last number
	}
	for i := range list {
		p := &list[i]
		if p.Key != public.String() || p.Salt != d.salt || p.Master != "" {
			continue
		}
		if p.Private {
			return l, exit.Fail(exit.Usage, "give the --salt of a publication that everyone can read, or another key", errors.New("a private publication cannot be delegated"))
		}
		v := p.Versions[len(p.Versions)-1]
		ih, err := id.ParseHex(v.InfoHash)
		if err != nil {
			return l, err
		}
		l.isKnown, l.seq = true, max(l.seq, v.Seq)
		l.consider(v.Seq, ih)
	}
	return l, nil
}

// learn adds what the DHT has: the newest statement, and the versions of the keys that still publish.
func (l *last) learn(found *handover.Found, keep []id.ID32) {
	link := found.Link
	owner, ok := found.Item(link.PublicKey)
	if !ok {
		return
	}
	l.isKnown, l.seq = true, max(l.seq, owner.Seq)
	v, _ := mutable.Read(link, owner.Value) // without a torrent, the infohash is zero
	number := owner.Seq
	if v.Delegation != nil {
		number = cmp.Or(v.Delegation.Number, number)
	}
	l.consider(number, v.InfoHash)
	for _, key := range keep {
		if i, ok := found.Item(key); ok {
			v, _ := mutable.Read(link, i.Value)
			l.consider(i.Seq, v.InfoHash)
		}
	}
}

// sign makes the next statement.
func (d *delegating) sign(l last) (*delegate.Statement, error) {
	if d.infohash != "" {
		ih, err := id.ParseHex(d.infohash)
		if err != nil {
			return nil, exit.Misuse(fmt.Errorf("--infohash: %w", err))
		}
		l.number, l.infohash = d.version, ih
	}
	switch {
	case !l.isKnown:
		return nil, exit.Fail(exit.NotFound, "give --seq, --infohash and --version-number, which seedbed show "+d.link().String()+" prints on a machine that is online, or --first if nothing was published",
			errors.New("it is not known what was published under this key"))
	case l.seq == math.MaxInt64:
		return nil, exit.Fail(exit.Unknown, "", errors.New("the key has signed the highest possible number, so no statement can follow"))
	}
	next := mutable.Delegation{Keys: d.keys, Expiry: time.Now().Add(d.lasts).Truncate(time.Second), Number: l.number}
	return delegate.Sign(d.master, []byte(d.salt), l.seq+1, l.infohash, next)
}
