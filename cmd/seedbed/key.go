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
	"seedbed/node"
)

func (a *app) keyCommand() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "key",
		Short: "Keys to publish under: new, list, export, import",
		Long: `Keys to publish under. A key is a name here, and a public key that links carry.
Its secret stays in the state directory, readable by its owner alone. Whoever has it
publishes in its owner's name, and if it is lost nobody can publish there any more:
export it to a safe place.`,
		Args: knownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var c common
	c.addState(cmd.PersistentFlags())
	keys := func() node.Keys { return node.OpenKeys(c.State()) }
	cmd.AddCommand(a.keyNew(keys), a.keyList(keys), a.keyExport(keys), a.keyImport(keys))
	return cmd
}

// jsonKey is a key in --json.
type jsonKey struct {
	Name   string `json:"name"`
	Public string `json:"public_key"`
}

// showKey prints a key's name and public half.
func (a *app) showKey(name string, key ed25519.PrivateKey) error {
	public := hex.EncodeToString(key.Public().(ed25519.PublicKey))
	if a.json {
		return a.put(jsonKey{name, public})
	}
	a.result("%s  %s", public, name)
	return nil
}

func (a *app) keyNew(keys func() node.Keys) *cobra.Command {
	return &cobra.Command{
		Use:   "new NAME",
		Short: "Make a key",
		Args:  cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			key := node.NewKey()
			if err := keys().Save(args[0], key); err != nil {
				return err
			}
			return a.showKey(args[0], key)
		},
	}
}

func (a *app) keyList(keys func() node.Keys) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the keys: the public key, and its name here",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			names, err := keys().List()
			if err != nil {
				return err
			}
			var bad error
			for _, name := range names {
				key, err := keys().Open(name)
				if err == nil {
					err = a.showKey(name, key)
				}
				bad = errors.Join(bad, err)
			}
			if len(names) == 0 {
				a.say("there are no keys; seedbed key new NAME makes one")
			}
			return bad
		},
	}
}

func (a *app) keyExport(keys func() node.Keys) *cobra.Command {
	var out string
	cmd := &cobra.Command{
		Use:   "export NAME -o FILE",
		Short: "Write a key's secret to a file, to keep or to move it",
		Long: `Write the secret of a key to a file that its owner alone can read. With -o - it goes
to standard output, if that is no terminal.`,
		Args: cobra.ExactArgs(1),
		RunE: func(_ *cobra.Command, args []string) error {
			key, err := keys().Open(args[0])
			switch {
			case err != nil:
				return err
			case out == "":
				return usage(errors.New("a secret is not printed: name a file with -o"))
			case out == "-" && report.IsTerminal(a.stdout.File):
				return usage(errors.New("a secret is not printed on a terminal: name a file with -o"))
			case out == "-":
				_, err := report.Fprintf(a.stdout, "%x\n", key.Seed())
				return err
			}
			err = node.WriteKey(out, key)
			if errors.Is(err, fs.ErrExist) {
				return fail(exitExists, "choose another file", fmt.Errorf("%s is there already", out))
			}
			if err == nil {
				a.say("the secret of %s is in %s: whoever reads it can publish as you", args[0], out)
			}
			return err
		},
	}
	cmd.Flags().StringVarP(&out, "output", "o", "", "write `FILE`, which must not be there yet")
	return cmd
}

func (a *app) keyImport(keys func() node.Keys) *cobra.Command {
	return &cobra.Command{
		Use:   "import NAME FILE",
		Short: "Take in a key that was exported; - reads it from standard input",
		Long: `Take in a key under a name: a file that export wrote, or 64 hex digits, the seed of an
ed25519 key, or 128, the seed and the public key behind it.`,
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
			key, err := node.ParseKey(string(b))
			if err != nil {
				return fail(exitUsage, "", fmt.Errorf("%s: %w", args[1], err))
			}
			if err := keys().Save(args[0], key); err != nil {
				return err
			}
			return a.showKey(args[0], key)
		},
	}
}
