package pubcmd

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/id"
	"seedbed/internal/userfile"
	"seedbed/node/delegate"
	"seedbed/node/keys"
	"seedbed/node/view"
)

// Key returns the command key.
func Key(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Manage publishing keys: new, list, export, import, delegate",
		Long: `Manage the keys that publications are signed with. A key has a name on this machine
and a public key, which links contain. Its secret stays in the state directory, readable
by its owner alone. Anyone who has it can publish as you; if you lose it, nobody can ever
update the link again: export it to a safe place.`,
		Args: app.KnownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var c app.Flags
	c.AddState(cmd.PersistentFlags())
	store := func() keys.Store { return keys.Open(c.State()) }
	cmd.AddCommand(keyNew(a, store), keyList(a, store, c.State), keyExport(a, store), keyImport(a, store), keyDelegate(a), keyShowDelegation(a))
	return cmd
}

// showKey prints a key's name and public key, and which of the statements are by the key or name it.
func showKey(a *app.App, name string, key ed25519.PrivateKey, statements []*delegate.Statement) error {
	public := id.ID32(key.Public().(ed25519.PublicKey))
	statements = slices.DeleteFunc(slices.Clone(statements), func(s *delegate.Statement) bool {
		return s.Item.Key != public && !slices.Contains(s.Keys, public)
	})
	if a.JSON {
		o := &view.Key{Name: name, PublicKey: public.String()}
		for _, s := range statements {
			o.Delegations = append(o.Delegations, view.KeyDelegationOf(s.Link("").String(), &s.Delegation, s.Item.Seq))
		}
		return a.Put(o)
	}
	a.Result("%s  %s", public, name)
	for _, s := range statements {
		advice := delegate.AskOwner
		if s.Item.Key == public {
			advice = delegate.SignAgain
			a.Say("  delegated to %s, until %s%s", report.Plural(len(s.Keys), "key"), s.Expiry.Local().Format("2006-01-02 15:04"), saltText(s.Item.Salt))
		} else {
			a.Say("  publishes under %s until %s", report.Exact(s.Link("").String()), s.Expiry.Local().Format("2006-01-02 15:04"))
		}
		if _, err := delegate.CheckExpiry(s.Expiry, time.Now(), advice); err != nil {
			a.Warn(fmt.Errorf("%s: %w", name, err))
		}
	}
	return nil
}

// saltText returns a salt as the end of a line, or "".
func saltText(salt []byte) string {
	if len(salt) == 0 {
		return ""
	}
	return fmt.Sprintf(" (salt %q)", salt)
}

func keyNew(a *app.App, store func() keys.Store) *cobra.Command {
	return &cobra.Command{
		Use:   "new NAME",
		Short: "Create a key",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			key := keys.New()
			if err := store().Save(args[0], key); err != nil {
				return err
			}
			return showKey(a, args[0], key, nil)
		},
	}
}

func keyList(a *app.App, store func() keys.Store, state func() string) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the keys: public key, name and delegations",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			names, err := store().List()
			if err != nil {
				return err
			}
			statements, bad := delegate.Open(state()).List()
			for _, name := range names {
				key, err := store().Key(name)
				if err == nil {
					err = showKey(a, name, key, statements)
				}
				bad = errors.Join(bad, err)
			}
			if len(names) == 0 {
				a.Say("there are no keys; create one with seedbed key new NAME")
			}
			return bad
		},
	}
}

func keyExport(a *app.App, store func() keys.Store) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export NAME -o FILE",
		Short: "Write the secret of a key to a file, as a backup or to move it",
		Long: `Write the secret of a key to a file that only its owner can read. With -o - it is
written to standard output, unless that is a terminal.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			switch {
			case out == "":
				return exit.Misuse(errors.New("secrets are not printed: give a file with -o"))
			case out == "-" && report.IsTerminal(a.Stdout.File):
				return exit.Misuse(errors.New("secrets are not printed on a terminal: give a file with -o"))
			}
			key, err := store().Key(args[0])
			if err != nil {
				return err
			}
			if out == "-" {
				_, err := report.Fprintf(a.Stdout, "%x\n", key.Seed())
				return err
			}
			err = keys.Write(out, key)
			if errors.Is(err, fs.ErrExist) {
				return exit.Fail(exit.Exists, "choose another file", fmt.Errorf("%s already exists", out))
			}
			if err == nil {
				a.Say("the secret key of %s is in %s: anyone who can read it can publish as you", args[0], out)
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write `FILE`, which must not exist yet")
	return cmd
}

func keyImport(a *app.App, store func() keys.Store) *cobra.Command {
	return &cobra.Command{
		Use:   "import NAME FILE",
		Short: "Import an exported key; - reads standard input",
		Long: `Import a key under a name. FILE is what export wrote: the seed of an ed25519 key as 64
hex digits. The seed followed by the public key, as 128 hex digits, is accepted too.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			b, err := readKey(cmd, args[1])
			if err != nil {
				return exit.Fail(exit.CodeOf(err), "", exit.PathError(args[1], err))
			}
			key, err := keys.Parse(string(b))
			if err != nil {
				return exit.Fail(exit.Usage, "", fmt.Errorf("%s: %w", args[1], err))
			}
			if err := store().Save(args[0], key); err != nil {
				return err
			}
			return showKey(a, args[0], key, nil)
		},
	}
}

// readKey reads an exported key from a file or a pipe, or from stdin if path is "-".
func readKey(cmd *cobra.Command, path string) ([]byte, error) {
	const limit = 1 << 10
	if path == "-" {
		return userfile.ParseOpen(cmd.Context(), cmd.InOrStdin(), "standard input", userfile.All("standard input", limit))
	}
	return userfile.Read(cmd.Context(), path, userfile.AllowPipes, limit)
}
