package torrentcmd

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/making"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/session"
	"seedbed/cmd/seedbed/settings"
	"seedbed/internal/userfile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/api/client"
	"seedbed/node/daemon/watch"
	"seedbed/swarm/s3store"
)

// Seed returns the command seed.
func Seed(a *app.App) *cobra.Command {
	var c app.Flags
	var torrents string
	var m making.Flags
	hooks := hook.Hooks{Warn: a.Warn, Printer: a.LinePrinter}
	cmd := &cobra.Command{
		Use:   "seed PATH|FILE.torrent|URL...",
		Short: "Seed a file or folder, or existing data of a .torrent file (with -d)",
		Long: `Seed data and print its magnet link. The torrent of a file or folder is created on the
spot. The data of a .torrent file or its URL must be in --dir, and is verified first
unless a resume record shows it is intact. Incomplete data is an error; of several
torrents, only that one ends.

With --store, the data of .torrent files and magnet links is in an object store, and is
verified when it is read; see docs/fleet.md.

The default is a v1 torrent, which every client opens; Transmission 3 and aria2 cannot
open hybrids. With --torrents, files that appear later are seeded too.

If a daemon runs with the same state directory, it seeds the data, also after restarts; the
command prints the link and exits. The daemon must be allowed to use the folder of the data
(--allow-path), and hashes it itself.`,
		Example: `  seedbed seed holiday/
  seedbed seed film.torrent -d ~/films
  seedbed seed --torrents ~/torrents -d ~/data
  seedbed seed film.torrent --store s3://films/2026`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && torrents == "" {
				return exit.Misuse(errMissingPath)
			}
			inStore, err := c.IsInStore(cmd.Flags())
			if err != nil {
				return err
			}
			opts, err := m.Options(a, making.DefaultFormat)
			if err != nil {
				return err
			}
			seeding := Seeding{App: a, Flags: &c, Making: &m, Options: opts, InStore: inStore}
			if settings.SourceOf(cmd.Flags().Lookup("store")) == settings.FromFlag && torrents == "" {
				if err := seeding.checkInStore(args); err != nil {
					return err
				}
			}
			target := remotecmd.LocalTarget(c.Values)
			running, err := target.Running(cmd.Context())
			if err != nil {
				return err
			}
			if running != nil {
				return seeding.HandOver(cmd, target, running, &hooks, args)
			}
			cfg, err := c.NodeConfig(cmd.Context())
			if err != nil {
				return err
			}
			more, err := listTorrents(cmd.Context(), torrents, cmd.InOrStdin())
			if err != nil {
				return err
			}
			s := &session.Session{App: a, Config: cfg, Timeout: c.Timeout, Stay: true, Seeding: true, Hooks: &hooks}
			if torrents != "" && torrents != "-" {
				if s.Arrivals, err = watch.Torrents(cmd.Context(), torrents); err != nil {
					a.Warn(err)
				}
			}
			return seeding.Run(cmd.Context(), s, slices.Concat(args, more))
		},
	}
	fs := cmd.Flags()
	c.AddDir(fs, "`DIR` with the data of .torrent files")
	c.AddNetwork(fs)
	c.AddStore(fs)
	fs.StringVar(&torrents, "torrents", "", "seed every .torrent file in `DIR`, also those that appear later; - reads paths from standard input")
	hooks.Add(fs)
	m.Add(cmd)
	return cmd
}

var errMissingPath = errors.New("missing argument: a file, a folder or a .torrent file")

// Seeding turns paths into torrents and seeds them. The commands seed, and publish without
// a key, use it.
type Seeding struct {
	App     *app.App
	Flags   *app.Flags
	Making  *making.Flags
	Options node.ShareOptions // from Making
	InStore bool              // the data of .torrent files and links is in the object store

	making sync.Mutex // one folder is hashed at a time
}

// Run seeds files, folders, and the data of .torrent files in a session until a signal. A
// path that cannot be seeded beside others is a warning, and sets the exit code at the end.
func (g *Seeding) Run(ctx context.Context, s *session.Session, paths []string) error {
	if len(paths) == 0 && s.Arrivals == nil {
		return exit.Misuse(errMissingPath)
	}
	s.Take = func(arg string) (node.Spec, error) { return g.spec(ctx, arg) }
	isMany := len(paths) > session.Many
	for _, arg := range paths {
		if isMany && watch.HasSuffix(arg) && !argument.IsURL(arg) {
			s.Paths = append(s.Paths, arg)
			continue
		}
		spec, err := g.spec(ctx, arg)
		if err != nil && (len(paths) == 1 && s.Arrivals == nil || ctx.Err() != nil) {
			return err
		}
		if err != nil {
			s.Unreadable = append(s.Unreadable, err)
			continue
		}
		if !s.Has(spec) {
			s.Specs = append(s.Specs, spec)
		}
	}
	if len(s.Specs)+len(s.Paths) == 0 && s.Arrivals == nil {
		return g.App.AllFailed(s.Unreadable)
	}
	if g.InStore && (len(s.Paths) > 0 || s.Arrivals != nil || slices.ContainsFunc(s.Specs, func(p node.Spec) bool { return p.Objects })) {
		end, err := g.App.OpenStore(ctx, g.Flags, &s.Config)
		if err != nil {
			return err
		}
		defer end()
		addWebSeeds(ctx, s3store.NewWebSeeds(s.Config.Objects.Store, g.App.Warn), s.Specs)
	}
	return s.Run(ctx)
}

// checkInStore returns an error if no path can be that of a torrent whose data is in the object store: files and folders are seeded
// from this machine, whatever --store says.
func (g *Seeding) checkInStore(paths []string) error {
	if slices.ContainsFunc(paths, func(p string) bool { return argument.IsLink(p) || argument.IsURL(p) || watch.HasSuffix(p) }) {
		return nil
	}
	at := g.Flags.Store.Location.String()
	return exit.Fail(exit.Usage, "leave --store out; or upload the data, and seed what seedbed create "+at+"/NAME makes",
		fmt.Errorf("%s is on this machine, and --store is for torrents whose data is in %s", paths[0], at))
}

// addWebSeeds adds the store to the web seeds of the torrents whose objects everybody can read, in the links that are printed too.
func addWebSeeds(ctx context.Context, seeds *s3store.WebSeeds, specs []node.Spec) {
	for i := range specs {
		s := &specs[i]
		if !s.Objects || s.Torrent == nil {
			continue
		}
		if url := seeds.Add(ctx, s.Torrent); url != "" {
			s.Link = &magnet.Link{WebSeeds: []string{url}}
		}
	}
}

// HandOver makes a running daemon seed files, folders, and the data of .torrent files, and prints
// their links.
func (g *Seeding) HandOver(cmd *cobra.Command, t *remotecmd.Target, c *client.Client, hooks *hook.Hooks, paths []string) error {
	if err := t.Misfit(cmd, append(making.FlagNames(), "dir", "store", "peer", "timeout", "on-complete")...); err != nil {
		return err
	}
	if len(paths) == 0 {
		return exit.Misuse(errMissingPath)
	}
	d := &handover.Download{App: g.App, Target: t, Client: c, Timeout: g.Flags.Timeout, Hooks: hooks, Seed: g.open}
	d.Body = api.AddBody{Peers: g.Flags.Peers}
	if g.InStore {
		d.Store = g.Flags.Store.Location.String()
	}
	return d.Run(cmd.Context(), paths)
}

// spec returns what to seed for a .torrent file, or for a file or folder, which it hashes.
func (g *Seeding) spec(ctx context.Context, arg string) (node.Spec, error) {
	spec, err := g.open(ctx, arg)
	spec.Peers = g.Flags.Peers
	return spec, err
}

func (g *Seeding) open(ctx context.Context, arg string) (node.Spec, error) {
	if g.InStore && argument.IsLink(arg) {
		spec, err := g.Flags.OpenArgument(ctx, g.App, arg)
		if err == nil && spec.Link.HasPublicKey {
			err = exit.Misuse(errors.New("the link names a publication, which changes: give the link of one version"))
		}
		spec.Objects = true
		return spec, err
	}
	if argument.IsURL(arg) {
		out, err := g.Flags.Outbound()
		if err != nil {
			return node.Spec{}, err
		}
		spec, err := argument.Read(ctx, out, arg)
		if err == nil && spec.Torrent == nil {
			err = exit.Fail(exit.Torrent, "", fmt.Errorf("%s leads to a magnet link, not to a .torrent file", arg))
		}
		return g.existing(spec.Torrent, err)
	}
	st, err := os.Stat(arg)
	if err != nil {
		return node.Spec{}, making.NoSource(arg, err)
	}
	if !st.IsDir() && watch.HasSuffix(arg) { // a pipe, too
		return g.existing(argument.ReadTorrent(ctx, arg))
	}
	g.making.Lock()
	defer g.making.Unlock()
	made, err := making.Make(ctx, g.App, arg, g.Options, making.OwnFiles(g.App, g.Flags.State()))
	if err != nil {
		return node.Spec{}, err
	}
	spec, err := node.MadeSpec(arg, made)
	if err == nil {
		g.Making.Describe(spec.Torrent)
		spec.Link = new(magnet.Link)
		making.DescribeLink(spec.Link, spec.Torrent)
	}
	return spec, err
}

// existing returns the spec to seed the existing data of t; err is the error of reading t.
func (g *Seeding) existing(t *metainfo.Torrent, err error) (node.Spec, error) {
	if g.InStore {
		return node.Spec{Torrent: t, Objects: true}, err
	}
	if err == nil {
		err = g.Flags.CheckData()
	}
	return node.Spec{Torrent: t, Dir: g.Flags.Dir, Seed: true}, err
}

// listTorrents returns every .torrent file in a folder, sorted by name. If from is "-", it
// returns the paths that in lists, one per line.
func listTorrents(ctx context.Context, from string, in io.Reader) ([]string, error) {
	switch from {
	case "":
		return nil, nil
	case "-":
		return userfile.ParseOpen(ctx, in, "standard input", readPaths)
	}
	entries, err := os.ReadDir(from)
	if errors.Is(err, syscall.ENOTDIR) {
		return nil, exit.Fail(exit.Usage, "to seed one torrent, run seedbed seed "+from+" -d DIR", fmt.Errorf("--torrents takes a folder, and %s is a file", from))
	}
	if err != nil {
		return nil, exit.Fail(exit.CodeOf(err), "--torrents takes a folder, or - for paths on standard input", exit.PathError(from, err))
	}
	var out []string
	for _, e := range entries {
		path := filepath.Join(from, e.Name())
		if e.Type().IsRegular() && watch.HasSuffix(path) || !e.Type().IsRegular() && watch.IsTorrent(path) {
			out = append(out, path)
		}
	}
	return out, nil
}

// readPaths reads one path per line.
func readPaths(in io.Reader) (out []string, err error) {
	sc := bufio.NewScanner(in)
	sc.Buffer(nil, 64<<10)
	for sc.Scan() {
		if line := strings.TrimSpace(sc.Text()); line != "" {
			out = append(out, line)
		}
	}
	if err := sc.Err(); err != nil {
		return nil, exit.Fail(exit.Usage, "give one path per line", fmt.Errorf("standard input: %w", err))
	}
	return out, nil
}
