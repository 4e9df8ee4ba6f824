package pubcmd

import (
	"context"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/internal/userfile"
	"seedbed/magnet/mutable"
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

func keyDelegate(a *app.App, state func() string) *cobra.Command {
	var d delegating
	cmd := &cobra.Command{
		Use:   "delegate MASTER --to KEY[,KEY...] -o FILE",
		Short: "Let other keys publish under the link of a key, or revoke that",
		Long: `Sign a statement that names the keys that publish under the link of the key MASTER, until
it expires. The secret of MASTER can then stay on a machine that is offline. A machine
that publishes needs its own key, whose public part is given with --to, and the file:
seedbed publish PATH --key NAME --delegation FILE. The file contains no secret.

Each statement replaces the one before. To renew it, name the same keys again. A key that
it does not name is revoked: followers leave its versions. --nobody revokes all. Put the
new file on a machine that publishes, with the same command as before.

The statement names the newest version, for clients that know only the key in the link. If
MASTER has published on this machine, or has made a statement here, that is known. Otherwise
give what seedbed show LINK prints, or --first if nothing was published.`,
		Example: `  seedbed key delegate site --to 8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e -o site.delegation
  seedbed key delegate site --nobody -o site.delegation`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			keysTo, lasts, err := d.parse()
			if err != nil {
				return err
			}
			master, err := keys.Open(state()).Key(args[0])
			if err != nil {
				return err
			}
			s, err := d.sign(master, state(), keysTo, lasts)
			if err != nil {
				return err
			}
			if err := delegate.Open(state()).Save(s); err != nil { // before anyone can see it
				return err
			}
			if err := os.WriteFile(d.out, s.Append(nil), 0o644); err != nil {
				return exit.Fail(exit.CodeOf(err), "", exit.PathError(d.out, err))
			}
			return showDelegation(a, s)
		},
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
	return cmd
}

// parse returns the keys and the time of the flags.
func (d *delegating) parse() (to []id.ID32, lasts time.Duration, err error) {
	if (len(d.to) == 0) != d.nobody {
		return nil, 0, exit.Misuse(errors.New("give the keys that publish with --to, or --nobody"))
	}
	if d.out == "" {
		return nil, 0, exit.Misuse(errors.New("give the file to write with -o"))
	}
	if d.infohash != "" && d.version < 1 {
		return nil, 0, exit.Misuse(errors.New("--infohash needs --version-number"))
	}
	for _, text := range d.to {
		key, err := id.ParseHex32(strings.TrimSpace(text))
		if err != nil {
			return nil, 0, exit.Misuse(fmt.Errorf("--to %q is not a public key of 64 hex digits; seedbed key list shows them", text))
		}
		to = append(to, key)
	}
	if len(to) > mutable.MaxDelegates {
		return nil, 0, exit.Misuse(fmt.Errorf("--to names %d keys; %d is the most", len(to), mutable.MaxDelegates))
	}
	if days, ok := strings.CutSuffix(d.expires, "d"); ok {
		n, err := strconv.ParseUint(days, 10, 16)
		if err == nil && n > 0 {
			return to, time.Duration(n) * 24 * time.Hour, nil
		}
	} else if lasts, err = time.ParseDuration(d.expires); err == nil && lasts > 0 {
		return to, lasts, nil
	}
	return nil, 0, exit.Misuse(fmt.Errorf("--expires %q is not a length of time such as 90d or 12h", d.expires))
}

// sign makes the next statement. What it continues from is in the flags or in the state directory.
func (d *delegating) sign(master ed25519.PrivateKey, state string, to []id.ID32, lasts time.Duration) (*delegate.Statement, error) {
	public := id.ID32(master.Public().(ed25519.PublicKey))
	was, err := delegate.Open(state).Load(public, []byte(d.salt))
	if err != nil {
		return nil, err
	}
	next := mutable.Delegation{Keys: to, Expiry: time.Now().Add(lasts).Truncate(time.Second)}
	seq, known := d.seq, d.first || d.seq > 0
	var infohash id.ID
	if was != nil {
		known = true
		seq, infohash, next.Number = max(seq, was.Item.Seq), was.InfoHash, was.Delegation.Number
	}
	list, err := publish.List(state)
	if err != nil {
		return nil, err // a damaged record may be the one with the last number
	}
	for i := range list {
		p := &list[i]
		if p.Key != public.String() || p.Salt != d.salt || p.Master != "" {
			continue
		}
		if p.Private {
			return nil, exit.Fail(exit.Usage, "give the --salt of a publication that everyone can read, or another key", errors.New("a private publication cannot be delegated"))
		}
		last := p.Versions[len(p.Versions)-1]
		known = true
		seq = max(seq, last.Seq)
		if last.Seq > next.Number {
			if infohash, err = id.ParseHex(last.InfoHash); err != nil {
				return nil, err
			}
			next.Number = last.Seq
		}
	}
	if d.infohash != "" {
		if infohash, err = id.ParseHex(d.infohash); err != nil {
			return nil, exit.Misuse(fmt.Errorf("--infohash: %w", err))
		}
		next.Number = d.version
	}
	switch {
	case !known:
		return nil, exit.Fail(exit.NotFound, "give --seq, --infohash and --version-number, which seedbed show "+mutable.Link(public, []byte(d.salt), "").String()+" prints on a machine that is online, or --first if nothing was published",
			errors.New("it is not known here what was published under this key"))
	case seq == 1<<63-1:
		return nil, exit.Fail(exit.Unknown, "", errors.New("the key has signed the highest possible number, so no statement can follow"))
	}
	return delegate.Sign(master, []byte(d.salt), seq+1, infohash, next)
}
