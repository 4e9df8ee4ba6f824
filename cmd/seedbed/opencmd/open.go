// Package opencmd has the command open, which opens the web page of a daemon in a browser.
package opencmd

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"runtime"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/internal/netx"
	"seedbed/node/api"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// Open returns the command open.
func Open(a *app.App) *cobra.Command {
	var onlyPrint, desktop bool
	var t *remotecmd.Target
	var network app.Flags
	cmd := &cobra.Command{
		Use:   "open [MAGNET|INFOHASH|FILE.torrent|URL|NAME]",
		Short: "Open the web page of the running daemon in a browser",
		Long: `Open the web page of the running daemon in the browser of this machine, logged in. With
a torrent, the page asks where to download it; the link of a publication can also be
followed. NAME is a domain whose owner names a publication in the DNS.

The URL, which is printed too, has a code that logs in once, within a minute.

With --desktop, as in the desktop entry of the packages, no terminal is needed: if no daemon
runs, the command starts the systemd user service seedbed, and it shows an error as a
notification.`,
		Example: `  seedbed open
  seedbed open 'magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056'
  seedbed open --no-browser`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) (err error) {
			defer func() {
				if err != nil && desktop {
					notify(cmd.Context(), err)
				}
			}()
			out, err := network.Outbound()
			if err != nil {
				return err
			}
			c, err := t.Client()
			if err != nil {
				return err
			}
			var add api.ToAdd
			if len(args) > 0 {
				if add, err = toAdd(cmd.Context(), out, args[0]); err != nil {
					return err
				}
			}
			url, err := c.Page(cmd.Context(), add)
			if desktop && errors.Is(err, client.ErrNoDaemon) && !t.IsNamed() {
				if err := startDaemon(cmd.Context()); err != nil {
					return err
				}
				url, err = c.Page(cmd.Context(), add)
			}
			if err != nil {
				return t.Fail(err)
			}
			if url == "" {
				return exit.Fail(exit.Network, "start it with seedbed daemon --http 127.0.0.1:8009", errors.New("the daemon serves no TCP address, so no browser can reach it"))
			}
			if a.JSON {
				err = a.Put(&view.Page{URL: url})
			} else {
				a.Result("%s", url)
			}
			if err != nil || onlyPrint {
				return err
			}
			return startBrowser(cmd.Context(), url)
		},
	}
	t = remotecmd.NewTarget(cmd.Flags())
	network.AddOutbound(cmd.Flags())
	cmd.Flags().BoolVar(&onlyPrint, "no-browser", false, "only print the URL")
	cmd.Flags().BoolVar(&desktop, "desktop", false, "start the user's service if no daemon runs, and show errors as notifications")
	return cmd
}

// toAdd opens the torrent of an argument.
func toAdd(ctx context.Context, out netx.Outbound, arg string) (api.ToAdd, error) {
	if argument.IsName(arg) {
		return api.ToAdd{Link: arg}, nil
	}
	spec, err := argument.Open(ctx, out, arg)
	if err != nil {
		return api.ToAdd{}, err
	}
	var b api.AddBody
	b.SetTorrent(&spec)
	return api.ToAdd{Link: b.Link, Torrent: b.Torrent}, nil
}

// startBrowser opens a URL in the browser of the user.
func startBrowser(ctx context.Context, url string) error {
	words := []string{"xdg-open"}
	switch runtime.GOOS {
	case "darwin":
		words = []string{"open"}
	case "windows":
		words = []string{"rundll32", "url.dll,FileProtocolHandler"}
	}
	if err := exec.CommandContext(ctx, words[0], append(words[1:], url)...).Run(); err != nil {
		return exit.Fail(exit.Unknown, "open the URL above in a browser; --no-browser only prints it", fmt.Errorf("no browser was opened: %s: %w", words[0], err))
	}
	return nil
}
