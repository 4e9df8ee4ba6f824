// Package remotecmd has the commands that control a running daemon: add, list, info and others.
//
// They reach the daemon of the same state directory over its unix socket, or with --daemon any
// other one over HTTP, with a token.
package remotecmd

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"slices"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/settings"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/api/client"
)

// A Target is the daemon that a command controls.
type Target struct {
	values     *settings.Values
	url, token string
	socket     string
}

// NewTarget returns a target with its flags in fs.
func NewTarget(fs *pflag.FlagSet) *Target {
	values := settings.NewValues()
	values.Add(fs, "state")
	return AddTarget(fs, values)
}

// AddTarget returns a target with its flags in fs, which has the flag of the state directory in
// values already.
func AddTarget(fs *pflag.FlagSet, values *settings.Values) *Target {
	t := &Target{values: values}
	fs.StringVar(&t.url, "daemon", "", "use the daemon at `URL` instead of the one with --state")
	fs.StringVar(&t.token, "token", "", "`TOKEN` for --daemon; safer in the environment variable SEEDBED_TOKEN")
	fs.StringVar(&t.socket, "socket", "", "unix socket of the daemon, `PATH` (default in the state directory)")
	return t
}

// LocalTarget returns the daemon of the state directory in values.
func LocalTarget(values *settings.Values) *Target { return &Target{values: values} }

// State returns the state directory.
func (t *Target) State() string { return t.values.State() }

// IsLocal reports whether the daemon is the one of the state directory.
func (t *Target) IsLocal() bool { return t.url == "" }

// IsNamed reports whether the user has named the daemon, with --daemon or --socket.
func (t *Target) IsNamed() bool { return t.url != "" || t.socket != "" }

// Client returns a client of the daemon.
func (t *Target) Client() (*client.Client, error) {
	if t.url != "" {
		c, err := client.OverURL(t.url, t.token)
		if err != nil {
			err = exit.Misuse(err)
		}
		return c, err
	}
	if t.socket != "" {
		return client.OverSocket(t.socket), nil
	}
	return client.OverSocket(client.SocketPath(t.State())), nil
}

// Running returns a client of the daemon that does the work of a command which can also run on
// its own: the one that the flags name, or else one that runs with the same state directory. It
// returns nil if there is none.
func (t *Target) Running(ctx context.Context) (*client.Client, error) {
	c, err := t.Client()
	if err != nil {
		return nil, err
	}
	_, err = c.Node(ctx)
	switch {
	case errors.Is(err, client.ErrNoDaemon) && !t.IsNamed():
		return nil, nil
	case err != nil && ctx.Err() != nil:
		return nil, exit.Fail(exit.Unfinished, "", errors.New("stopped before the daemon answered"))
	}
	return c, t.Fail(err)
}

// Misfit returns an error if a flag on the command line, other than those in fit, has no meaning
// when a daemon does the work.
func (t *Target) Misfit(cmd *cobra.Command, fit ...string) (err error) {
	fit = append(fit, "state", "daemon", "token", "socket")
	hint := "leave it out, or give another --state to run without the daemon"
	if t.IsNamed() {
		hint = "leave it out, or run without --daemon and --socket"
	}
	cmd.LocalNonPersistentFlags().VisitAll(func(f *pflag.Flag) {
		if err == nil && settings.SourceOf(f) == settings.FromFlag && !slices.Contains(fit, f.Name) {
			err = exit.Fail(exit.Usage, hint,
				fmt.Errorf("--%s has no effect, because a running daemon does the work with settings of its own", f.Name))
		}
	})
	return err
}

// Dir returns the folder that the user has named as the daemon sees it; "" stays.
func (t *Target) Dir(dir string) (string, error) {
	if dir == "" || !t.IsLocal() {
		return dir, nil
	}
	return filepath.Abs(dir)
}

// Fail returns an error of the client with an exit code and advice.
func (t *Target) Fail(err error) error {
	var p *api.Problem
	switch {
	case err == nil:
		return nil
	case errors.Is(err, client.ErrNoDaemon):
		hint := "start one with seedbed daemon"
		if !t.IsLocal() {
			hint = "check the URL"
		}
		return exit.Fail(exit.Network, hint, err)
	case errors.As(err, &p):
		code := codeOf(p.Status)
		if p.Kind != node.FaultOther {
			code = exit.OfFault(p.Kind)
		}
		return exit.Fail(code, p.Hint, err)
	}
	return err
}

func codeOf(status int) exit.Code {
	switch status {
	case http.StatusBadRequest, http.StatusUnprocessableEntity:
		return exit.Usage
	case http.StatusNotFound:
		return exit.NotFound
	case http.StatusUnauthorized, http.StatusForbidden:
		return exit.Open
	case http.StatusInsufficientStorage:
		return exit.DiskFull
	}
	return exit.Unknown
}

// Commands returns the commands of the package.
func Commands(a *app.App) []*cobra.Command {
	return []*cobra.Command{add(a), list(a), top(a), info(a), files(a), peers(a), pause(a), resume(a), recheck(a), queue(a), move(a), rename(a), limit(a), label(a), remove(a),
		publications(a), unpublish(a), follows(a), stay(a), unfollow(a)}
}
