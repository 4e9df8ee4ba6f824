// Package gatewaycmd has the command gateway, which serves publications to browsers.
package gatewaycmd

import (
	"context"
	"errors"
	"path/filepath"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/option"
	"seedbed/node"
	"seedbed/node/gateway"
	"seedbed/node/view"
)

// Gateway returns the command gateway.
func Gateway(a *app.App) *cobra.Command {
	var c app.Flags
	addr := option.Addr(gateway.DefaultAddr)
	cmd := &cobra.Command{
		Use:   "gateway [MAGNET|KEY...]",
		Short: "Read publications in a browser: http://KEY.localhost:8010/",
		Long: `Serve what others publish to the browsers of this machine. Each publication has an
address and an origin of its own: http://KEY.localhost:8010/PATH, where KEY is its public
key in base32. http://localhost:8010/ redirects what is pasted there to the right one.

The newest version is served. Only the files that are read are fetched, they are verified
before they are sent, and they arrive while the rest is still being fetched. Copies are
kept in the state directory.

The addresses of the publications that are given as arguments are printed. Runs until
Ctrl-C.`,
		Example: `  seedbed gateway
  seedbed gateway 'magnet:?xs=urn:btpk:8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e'`,
		RunE: func(cmd *cobra.Command, args []string) error {
			var shown []gateway.Address
			for _, arg := range args {
				address, err := gateway.ParseAddress(arg)
				if err != nil {
					return exit.Misuse(err)
				}
				shown = append(shown, address)
			}
			cfg, err := c.NodeConfig(cmd.Context())
			if err != nil {
				return err
			}
			if cfg.NoDHT {
				return node.ErrNoDHT
			}
			return a.WithNode(cmd.Context(), cfg, func(ctx context.Context, n *node.Node) error {
				s, err := gateway.Open(string(addr), gateway.Config{Node: n, Dir: filepath.Join(n.StateDir(), "gateway"), Peers: c.Peers})
				var f *node.Fault
				if err != nil && !errors.As(err, &f) {
					return exit.Fail(exit.Network, "use another --http HOST:PORT", err)
				}
				if err != nil {
					return err
				}
				if err := announce(a, s, shown); err != nil {
					return errors.Join(err, s.Close())
				}
				return s.Run(ctx)
			})
		},
	}
	fs := cmd.Flags()
	c.AddNetwork(fs)
	fs.Var(&addr, "http", "loopback `HOST:PORT` to serve at")
	return cmd
}

// announce prints the address of the gateway, and those of publications.
func announce(a *app.App, s *gateway.Server, shown []gateway.Address) error {
	if a.JSON {
		if err := a.Put(&view.Serving{Addr: s.URL()}); err != nil {
			return err
		}
	}
	a.Say("serving publications at %s", s.URL())
	for _, p := range shown {
		if !a.JSON {
			a.Result("%s", s.PublicationURL(p))
			continue
		}
		if err := a.Put(&view.Page{URL: s.PublicationURL(p)}); err != nil {
			return err
		}
	}
	return nil
}
