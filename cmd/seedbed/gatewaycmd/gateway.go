// Package gatewaycmd has the command gateway, which serves publications to browsers.
package gatewaycmd

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"strings"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/option"
	"seedbed/internal/userfile"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/gateway"
	"seedbed/node/view"
)

// flags are the flags of the command.
type flags struct {
	app.Flags
	addr                    option.Addr
	public, allowFile       string
	allow, proxies          []string
	cacheSize, quota        option.Size
	isPublic, hasPublicOnly bool
}

// Gateway returns the command gateway.
func Gateway(a *app.App) *cobra.Command {
	f := flags{addr: gateway.DefaultAddr, cacheSize: gateway.DefaultCacheSize}
	cmd := &cobra.Command{
		Use:   "gateway [MAGNET|KEY|NAME...]",
		Short: "Read publications in a browser: http://KEY.localhost:8010/",
		Long: `Serve what others publish to the browsers of this machine. Each publication has an
address and an origin of its own: http://KEY.localhost:8010/PATH, where KEY is its public
key in base32. http://localhost:8010/ redirects what is pasted there to the right one.

The newest version is served. Only the files that are read are fetched, they are verified
before they are sent, and they arrive while the rest is still being fetched. Copies are
kept in the state directory, up to --cache-size.

The addresses of the publications that are given as arguments are printed. A private
publication is served only if the link to read it is given. Runs until Ctrl-C.

With --public, other machines may read too: publications are at KEY.DOMAIN, and those with
a name in --allow at that name. A reverse proxy provides HTTPS.`,
		Example: `  seedbed gateway
  seedbed gateway 'magnet:?xs=urn:btpk:8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e'
  seedbed gateway --public gate.example.org --http 127.0.0.1:8010 --trust-proxy 127.0.0.1 --allow blog.example.org`,
		RunE: func(cmd *cobra.Command, args []string) error {
			f.isPublic = f.public != ""
			for _, name := range []string{"allow", "allow-file", "trust-proxy"} {
				f.hasPublicOnly = f.hasPublicOnly || cmd.Flags().Changed(name)
			}
			return run(cmd.Context(), a, &f, args)
		},
	}
	fs := cmd.Flags()
	f.AddNetwork(fs)
	fs.Var(&f.addr, "http", "`HOST:PORT` to serve at; a loopback address, unless --public is given")
	fs.StringVar(&f.public, "public", "", "serve other machines too: publications are at KEY.`DOMAIN`")
	fs.Var(&option.List{To: &f.allow, Arg: "KEY|NAME", Check: checkAddress}, "allow", "with --public, serve `KEY|NAME` and only what is allowed (repeatable)")
	fs.StringVar(&f.allowFile, "allow-file", "", "with --public, allow the keys and names in `FILE`, one on a line")
	fs.Var(&option.List{To: &f.proxies, Arg: "ADDRESS", Check: option.CheckNetwork}, "trust-proxy", "with --public, trust the X-Forwarded-For of the reverse proxy, or network of proxies, at `ADDRESS` (repeatable)")
	fs.Var(&f.cacheSize, "cache-size", "keep copies of at most this size; those not read for the longest time are deleted")
	fs.Var(&f.quota, "quota", "keep at most this much of one publication; 0: --cache-size")
	return cmd
}

func checkAddress(s string) error {
	_, err := gateway.ParseAddress(s)
	return err
}

// run runs the gateway until ctx ends.
func run(ctx context.Context, a *app.App, f *flags, args []string) error {
	var shown []gateway.Address
	var private []*magnet.Link
	for _, arg := range args {
		address, err := gateway.ParseAddress(arg)
		if err != nil {
			return exit.Misuse(err)
		}
		shown = append(shown, address)
		if l, err := magnet.Parse(arg); err == nil && l.Secret.CanRead() {
			private = append(private, l)
		}
	}
	if f.isPublic && len(private) > 0 {
		return exit.Misuse(errors.New("--public cannot be used with the link to read a private publication: everyone could read it"))
	}
	cfg, err := f.NodeConfig(ctx)
	if err != nil {
		return err
	}
	if cfg.NoDHT {
		return node.ErrNoDHT
	}
	g, err := f.config(ctx)
	if err != nil {
		return err
	}
	if g.Names, err = f.Names(); err != nil {
		return err
	}
	return a.WithNode(ctx, cfg, func(ctx context.Context, n *node.Node) error {
		g.Node, g.Dir, g.Log = n, filepath.Join(n.StateDir(), "gateway"), a.Logger()
		g.Private = func() []*magnet.Link { return private }
		s, err := gateway.Open(g)
		if err != nil {
			return err
		}
		if err := announce(a, s, shown); err != nil {
			return errors.Join(err, s.Close())
		}
		return s.Run(ctx)
	})
}

// config returns the configuration of the gateway, without a node.
func (f *flags) config(ctx context.Context) (c gateway.ServerConfig, err error) {
	if f.hasPublicOnly && !f.isPublic {
		return c, exit.Misuse(errors.New("--allow, --allow-file and --trust-proxy need --public DOMAIN"))
	}
	if f.cacheSize < 1 || f.quota < 0 {
		return c, exit.Misuse(errors.New("--cache-size must be 1 or more, and --quota 0 or more"))
	}
	c.Addr, c.Domain = string(f.addr), strings.ToLower(strings.TrimSuffix(f.public, "."))
	c.Peers, c.CacheSize, c.Quota = f.Peers, int64(f.cacheSize), int64(f.quota)
	for _, s := range f.proxies {
		p, err := option.ParseNetwork(s)
		if err != nil {
			panic(err) // checked when the flag was parsed
		}
		c.Proxies = append(c.Proxies, p)
	}
	if !f.isPublic {
		return c, nil
	}
	c.Allow = gateway.AllowKeys
	if len(f.allow) == 0 && f.allowFile == "" {
		return c, nil
	}
	list := gateway.AllowList{}
	for _, s := range f.allow {
		if err := list.Add(s); err != nil {
			return c, exit.Misuse(err)
		}
	}
	if f.allowFile != "" {
		b, err := userfile.Read(ctx, f.allowFile, userfile.AllowPipes, maxAllowFile)
		if err != nil {
			return c, err
		}
		if err := list.AddList(bytes.NewReader(b), f.allowFile); err != nil {
			return c, exit.Misuse(err)
		}
	}
	c.Allow = list.Allows
	return c, nil
}

// maxAllowFile is the maximum size of the file of --allow-file, in bytes.
const maxAllowFile = 16 << 20

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
