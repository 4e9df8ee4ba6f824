package daemoncmd

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/internal/statefile"
	"seedbed/node/api/client"
	"seedbed/node/daemon/token"
	"seedbed/node/view"
)

// Token returns the command token.
func Token(a *app.App) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "token",
		Short: "Manage the tokens that give access to a daemon: new, list, revoke",
		Long: `Manage the tokens that give access to the HTTP interfaces of a daemon. A token has a
scope: read (see torrents, publications and the state of the node), add (also add,
change, pause and resume torrents, and follow publications) or admin (everything).
Programs send it as a Bearer token, or as a password with any user name.

A token is printed once. The daemon keeps only its hash. These commands work whether
the daemon runs or not.`,
		Args: app.KnownCommand,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	t := remotecmd.NewTarget(cmd.PersistentFlags())
	cmd.AddCommand(tokenNew(a, t), tokenList(a, t), tokenRevoke(a, t))
	return cmd
}

// withTokens runs do with the tokens of the daemon: those of the running one, or if none runs on
// this machine, those in the state directory.
func withTokens(ctx context.Context, t *remotecmd.Target, running func(*client.Client) error, stored func(*token.Store) error) error {
	c, err := t.Client()
	if err != nil {
		return err
	}
	err = running(c)
	if !errors.Is(err, client.ErrNoDaemon) || !t.IsLocal() {
		return t.Fail(err)
	}
	if err := statefile.MkdirAll(t.State()); err != nil {
		return err
	}
	s, err := token.Open(filepath.Join(t.State(), "tokens"))
	if errors.Is(err, statefile.ErrLocked) {
		return exit.Fail(exit.SameHash, "run the command again when it has started, or give its --daemon URL", errors.New("a daemon has these tokens, but does not answer"))
	}
	if err != nil {
		return err
	}
	return errors.Join(stored(s), s.Close())
}

func showToken(a *app.App, t token.Token, text string) error {
	if a.JSON {
		return a.Put(&view.Token{ID: t.ID, Name: t.Name, Scope: t.Scope.String(), Created: t.Created.Format("2006-01-02T15:04:05Z07:00"), Token: text})
	}
	if text != "" {
		a.Say("%s  %-5s  %s", t.ID, t.Scope, t.Name)
		a.Result("%s", text)
		return nil
	}
	a.Result("%s  %-5s  %s  %s", t.ID, t.Scope, t.Created.Local().Format("2006-01-02"), t.Name)
	return nil
}

func tokenNew(a *app.App, to *remotecmd.Target) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:       "new read|add|admin",
		Short:     "Create a token and print it",
		Args:      cobra.MatchAll(cobra.ExactArgs(1), cobra.OnlyValidArgs),
		ValidArgs: []string{"read", "add", "admin"},
		RunE: func(cmd *cobra.Command, args []string) error {
			var made token.Token
			var text string
			err := withTokens(cmd.Context(), to, func(c *client.Client) error {
				t, err := c.NewToken(cmd.Context(), name, args[0])
				made, text = t.Token, t.Text
				return err
			}, func(s *token.Store) error {
				scope, err := token.ParseScope(args[0])
				if err != nil {
					return exit.Misuse(err)
				}
				text, made, err = s.New(name, scope)
				return err
			})
			if err != nil {
				return err
			}
			return showToken(a, made, text)
		},
	}
	cmd.Flags().StringVar(&name, "name", "", "`NAME` for lists, such as that of the program that uses it")
	return cmd
}

func tokenList(a *app.App, to *remotecmd.Target) *cobra.Command {
	return &cobra.Command{
		Use:   "list",
		Short: "List the tokens: id, scope, date and name",
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var all []token.Token
			err := withTokens(cmd.Context(), to, func(c *client.Client) error {
				l, err := c.Tokens(cmd.Context())
				all = l.Tokens
				return err
			}, func(s *token.Store) error {
				all = s.List()
				return nil
			})
			if err == nil && len(all) == 0 {
				a.Say("there are no tokens; create one with seedbed token new admin")
			}
			return showTokens(a, all, err)
		},
	}
}

func tokenRevoke(a *app.App, to *remotecmd.Target) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke ID|NAME",
		Short: "Revoke a token",
		Args:  cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			var gone []token.Token
			err := withTokens(cmd.Context(), to, func(c *client.Client) error {
				l, err := c.RevokeToken(cmd.Context(), args[0])
				gone = l.Tokens
				return err
			}, func(s *token.Store) (err error) {
				if gone, err = s.Revoke(args[0]); errors.Is(err, token.ErrUnknown) {
					err = exit.Fail(exit.NotFound, "seedbed token list shows them", err)
				}
				return err
			})
			return showTokens(a, gone, err)
		},
	}
}

func showTokens(a *app.App, all []token.Token, err error) error {
	for _, t := range all {
		if err == nil {
			err = showToken(a, t, "")
		}
	}
	return err
}
