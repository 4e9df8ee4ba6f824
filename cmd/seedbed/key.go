package main

import (
	"crypto/ed25519"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/node/keys"
	"seedbed/node/view"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Manage publishing keys: new, list, export, import",
		Long: `Manage the keys that publications are signed with. A key has a name on this machine
and a public key, which links contain. Its secret stays in the state directory, readable
by its owner alone. Anyone who has it can publish as you; if you lose it, nobody can ever
update the link again: export it to a safe place.`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var c common
	c.addState(cmd.PersistentFlags())
	store := func() keys.Store { return keys.Open(c.State()) }
	cmd.AddCommand(a.keyNew(store), a.keyList(store), a.keyExport(store), a.keyImport(store))
	return cmd
}

// showKey prints a key's name and public key.
func (a *app) showKey(name string, key ed25519.PrivateKey) error {
	public := hex.EncodeToString(key.Public().(ed25519.PublicKey))
	if a.json {
		return a.put(&view.Key{Name: name, PublicKey: public})
	}
	a.result("%s  %s", public, name)
	return nil
}

func (a *app) keyNew(store func() keys.Store) *cobra.Command {
	return &cobra.Command{
		Use:   "new NAME",
		Short: "Create a key",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			key := keys.New()
			if err := store().Save(args[0], key); err != nil {
				return err
			}
			return a.showKey(args[0], key)
		},
	}
}

func (a *app) keyList(store func() keys.Store) *cobra.Command {
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
					err = a.showKey(name, key)
				}
				bad = errors.Join(bad, err)
			}
			if len(names) == 0 {
				a.say("there are no keys; create one with seedbed key new NAME")
			}
			return bad
		},
	}
}

func (a *app) keyExport(store func() keys.Store) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export NAME -o FILE",
		Short: "Write the secret of a key to a file, as a backup or to move it",
		Long: `Write the secret of a key to a file that only its owner can read. With -o - it is
written to standard output, unless that is a terminal.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := store().Key(args[0])
			switch {
			case err != nil:
				return err
			case out == "":
				return usage(errors.New("secrets are not printed: give a file with -o"))
			case out == "-" && report.IsTerminal(a.stdout.File):
				return usage(errors.New("secrets are not printed on a terminal: give a file with -o"))
			case out == "-":
				_, err := report.Fprintf(a.stdout, "%x\n", key.Seed())
				return err
			}
			err = keys.Write(out, key)
			if errors.Is(err, fs.ErrExist) {
				return fail(exitExists, "choose another file", fmt.Errorf("%s already exists", out))
			}
			if err == nil {
				a.say("the secret key of %s is in %s: anyone who can read it can publish as you", args[0], out)
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write `FILE`, which must not exist yet")
	return cmd
}

func (a *app) keyImport(store func() keys.Store) *cobra.Command {
	return &cobra.Command{
		Use:   "import NAME FILE",
		Short: "Import an exported key; - reads standard input",
		Long: `Import a key under a name. FILE is what export wrote: the seed of an ed25519 key as 64
hex digits. The seed followed by the public key, as 128 hex digits, is accepted too.`,
		Args: cobra.ExactArgs(2),
		RunE: func(cmd *cobra.Command, args []string) error {
			in := cmd.InOrStdin()
			if args[1] != "-" {
				f, err := os.Open(args[1])
				if err != nil {
					return fail(codeOf(err), "", describePathError(args[1], err))
				}
				defer f.Close()
				in = f
			}
			b, err := io.ReadAll(io.LimitReader(in, 1<<10))
			if err != nil {
				return describePathError(args[1], err)
			}
			key, err := keys.Parse(string(b))
			if err != nil {
				return fail(exitUsage, "", fmt.Errorf("%s: %w", args[1], err))
			}
			if err := store().Save(args[0], key); err != nil {
				return err
			}
			return a.showKey(args[0], key)
		},
	}
}
