package pubcmd

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/userfile"
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
	cmd.AddCommand(keyNew(a, store), keyList(a, store), keyExport(a, store), keyImport(a, store), keyDelegate(a), keyShowDelegation(a))
	return cmd
}

// showKey prints a key's name and public key.
func showKey(a *app.App, name string, key ed25519.PrivateKey) error {
	public := hex.EncodeToString(key.Public().(ed25519.PublicKey))
	if a.JSON {
		return a.Put(&view.Key{Name: name, PublicKey: public})
	}
	a.Result("%s  %s", public, name)
	return nil
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
			return showKey(a, args[0], key)
		},
	}
}

func keyList(a *app.App, store func() keys.Store) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the keys: public key and name",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			names, err := store().List()
			if err != nil {
				return err
			}
			var bad error
			for _, name := range names {
				key, err := store().Key(name)
				if err == nil {
					err = showKey(a, name, key)
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
			return showKey(a, args[0], key)
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
