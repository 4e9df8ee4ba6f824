// Package importcmd has the command that takes over the session of another client: import.
package importcmd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/adrg/xdg"
	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/remotecmd"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/version"
	"seedbed/node"
	"seedbed/node/api"
	"seedbed/node/daemon"
	"seedbed/node/daemon/importer"
	"seedbed/node/view"
)

// A source is a client whose session can be imported.
type source struct {
	name    string // for messages
	read    func(dir string) (importer.Session, error)
	runs    func(ctx context.Context, dir string) bool // reports whether the client seems to use the folder
	folders []string                                   // where its session usually is; relative paths are below the home directory
	has     []string                                   // names of which the folder of a session contains one
}

var sources = map[string]source{
	"transmission": {"Transmission", importer.Transmission, importer.TransmissionRuns, []string{
		".config/transmission-daemon", ".config/transmission",
		"/var/lib/transmission-daemon/.config/transmission-daemon", "/var/lib/transmission-daemon/info", "/var/lib/transmission/.config/transmission-daemon"}, []string{"torrents"}},
	"qbittorrent": {"qBittorrent", importer.QBittorrent, importer.QBittorrentRuns, []string{
		".local/share/qBittorrent", ".local/share/data/qBittorrent", "Library/Application Support/qBittorrent", "AppData/Local/qBittorrent"}, []string{"BT_backup", "torrents.db"}},
}

// Import returns the command import.
func Import(a *app.App) *cobra.Command {
	var t *remotecmd.Target
	var dryRun, force bool
	cmd := &cobra.Command{
		Use:   "import transmission|qbittorrent [DIR]",
		Short: "Take over the torrents of another BitTorrent client, without hashing their data",
		Long: `Take over the torrents of Transmission (3.00 or 4) or qBittorrent (4 or 5): the data with its
folders and names, the wanted files and their priorities, labels, categories, limits,
seeding goals and totals, and which torrents are paused; and qBittorrent's categories with
their folders. DIR is the folder in which the
client keeps its session; by default the first of the usual folders that has one.

The data is not hashed if it has not changed since the client stopped and a random sample of
it is correct. Incomplete files are renamed, so that the other client does not continue with
them. The files of the client itself are only read.

Works with a running daemon, which must be allowed to use the folders of the data
(--allow-path), and without one. Torrents that the session has already stay as they are.
Stop the other client first.`,
		Example: "  seedbed import transmission --dry-run\n  seedbed import qbittorrent ~/.local/share/qBittorrent",
		Args:    cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			src, ok := sources[args[0]]
			if !ok {
				return exit.Misuse(fmt.Errorf("%q is not a client whose torrents can be imported: transmission, qbittorrent", args[0]))
			}
			s, err := src.load(cmd.Context(), args[1:], force || dryRun)
			if err != nil {
				return err
			}
			if dryRun {
				return preview(a, s)
			}
			return run(cmd.Context(), a, t, s)
		},
	}
	fs := cmd.Flags()
	t = remotecmd.NewTarget(fs)
	fs.BoolVar(&dryRun, "dry-run", false, "only print what would be imported")
	fs.BoolVar(&force, "force", false, "import even if the other client seems to run, which may write to the same files")
	return cmd
}

// load reads the session in the given folder, or in the first usual one that exists.
func (src *source) load(ctx context.Context, args []string, force bool) (s importer.Session, err error) {
	var dir string
	if len(args) > 0 {
		dir = args[0]
	} else if dir = src.find(); dir == "" {
		return s, exit.Fail(exit.NotFound, "give the folder", fmt.Errorf("the session of %s is in none of the usual folders", src.name))
	}
	s, err = src.read(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s, exit.Fail(exit.NotFound, "give the folder in which the client keeps its session", fmt.Errorf("%s has no session of %s", dir, src.name))
	case errors.Is(err, importer.ErrDatabase):
		return s, exit.Fail(exit.NotFound, "in its options, under Advanced, set \"Resume data storage type\" to \"Fastresume files\" and restart it; then stop it and import again", err)
	case err == nil && !force && src.runs(ctx, dir):
		return s, exit.Fail(exit.SameHash, "stop it first, so that its files are up to date; --force imports anyway", fmt.Errorf("%s is running", src.name))
	}
	return s, err
}

// find returns the first usual folder that has a session, or "".
func (src *source) find() string {
	for _, dir := range src.folders {
		if !filepath.IsAbs(dir) {
			dir = filepath.Join(xdg.Home, dir)
		}
		for _, name := range src.has {
			if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
				return dir
			}
		}
	}
	return ""
}

// preview prints what would be imported.
func preview(a *app.App, s importer.Session) error {
	for _, c := range s.Categories {
		if err := showCategory(a, &view.ImportedCategory{Name: c.Name, Dir: c.Dir, New: true}); err != nil {
			return err
		}
	}
	for i := range s.Torrents {
		t := &s.Torrents[i]
		o := &view.Imported{Name: t.Spec.Name(), Dir: t.Spec.Dir, New: true}
		o.InfoHash = t.Spec.InfoHash().String()
		o.Wanted, o.Have = t.Sizes()
		if err := show(a, o); err != nil {
			return err
		}
	}
	return finish(a, &s, len(s.Torrents), s.Failed, "would be imported")
}

// run imports the torrents into the session of the running daemon or, if none runs, of the state
// directory.
func run(ctx context.Context, a *app.App, to *remotecmd.Target, s importer.Session) error {
	c, err := to.Running(ctx)
	if err != nil {
		return err
	}
	if c != nil {
		has, err := c.Categories(ctx)
		if err != nil {
			return to.Fail(err)
		}
		return into{has, func(k daemon.Category) error { return to.Fail(c.PutCategory(ctx, k)) }, func(b *api.ImportBody) (*view.Imported, error) {
			o, err := c.Import(ctx, *b)
			return o, to.Fail(err)
		}}.run(ctx, a, s)
	}
	set := daemon.DefaultSettings()
	set.Dir, set.AllowPaths = xdg.UserDirs.Download, []string{string(filepath.Separator)}
	d, err := daemon.Open(ctx, daemon.Config{
		// No torrent runs, so no peer needs to reach the node.
		Node:     node.Config{State: to.State(), Listen: "127.0.0.1:0", NoDHT: true, Log: a.Logger(), Version: "seedbed " + version.String()},
		Settings: set, Idle: true, Log: a.Logger(),
	})
	if errors.Is(err, node.ErrNoSession) {
		return exit.Fail(exit.SameHash, "try again when it answers, or stop it", err)
	}
	if err != nil {
		return err
	}
	err = into{d.Categories(), func(k daemon.Category) error { return d.PutCategory(ctx, k) }, func(b *api.ImportBody) (*view.Imported, error) {
		r, from, err := b.Request()
		if err != nil {
			return nil, err
		}
		o, err := d.TakeOver(ctx, r, b.FinalDir, from)
		if err != nil {
			return nil, err
		}
		return api.ImportedOf(&o), nil
	}}.run(ctx, a, s)
	return errors.Join(err, a.CloseNode(d))
}

// into is the session into which another one is imported.
type into struct {
	categories  []daemon.Category // those that it has
	addCategory func(daemon.Category) error
	addTorrent  func(*api.ImportBody) (*view.Imported, error)
}

// run imports the categories, and then the torrents, which may be in them. One that fails does not
// stop the others.
func (to into) run(ctx context.Context, a *app.App, s importer.Session) error {
	var failed exit.Failures
	for _, c := range s.Categories {
		if ctx.Err() != nil {
			break
		}
		o := &view.ImportedCategory{Name: c.Name, Dir: c.Dir, New: true}
		if i := slices.IndexFunc(to.categories, func(k daemon.Category) bool { return k.Name == c.Name }); i >= 0 {
			o.Dir, o.New = to.categories[i].Dir, false
		} else if err := to.addCategory(daemon.Category(c)); err != nil {
			err = fmt.Errorf("category %s: %w", c.Name, err)
			failed.Add(err)
			a.Warn(err)
			continue
		}
		if err := showCategory(a, o); err != nil {
			return err
		}
	}
	if err := to.each(ctx, a, s); err != nil {
		return err
	}
	return failed.Counted(len(s.Categories), "category")
}

// showCategory prints a category that was imported.
func showCategory(a *app.App, o *view.ImportedCategory) error {
	if a.JSON {
		return a.Put(o)
	}
	switch {
	case !o.New:
		a.Result("category %s: is already in the session", o.Name)
	case o.Dir == "":
		a.Result("category %s: has no folder of its own", o.Name)
	default:
		a.Result("category %s: %s", o.Name, o.Dir)
	}
	return nil
}

// each imports the torrents one after the other.
func (to into) each(ctx context.Context, a *app.App, s importer.Session) error {
	failed, n := s.Failed, 0
	for i := range s.Torrents {
		if ctx.Err() != nil {
			return exit.Fail(exit.Unfinished, "run the command again to import the others", fmt.Errorf("stopped after %s", report.Plural(n, "torrent")))
		}
		t := &s.Torrents[i]
		b := api.NewImportBody(&t.Spec, &t.From)
		o, err := to.addTorrent(&b)
		if err != nil {
			if name := t.Spec.Name() + ": "; !strings.HasPrefix(err.Error(), name) {
				err = fmt.Errorf("%s%w", name, err)
			}
			failed = append(failed, err)
			continue
		}
		if o.New {
			n++
		}
		if err := show(a, o); err != nil {
			return err
		}
	}
	return finish(a, &s, n, failed, "imported")
}

// show prints a torrent that was imported.
func show(a *app.App, o *view.Imported) error {
	if a.JSON {
		return a.Put(o)
	}
	a.Result("%s: %s", o.Name, describe(o))
	return nil
}

func describe(o *view.Imported) string {
	if !o.New {
		return "is already in the session"
	}
	if o.Check != "" {
		return "all the data is hashed at the next start: " + o.Check
	}
	var parts []string
	if o.Wanted > 0 {
		parts = append(parts, fmt.Sprintf("%d%% of %s", report.Percent(o.Have, o.Wanted), report.Size(o.Wanted)))
	} else {
		parts = append(parts, "the metadata is not known yet")
	}
	if o.Sample > 0 {
		parts = append(parts, report.Size(o.Sample)+" hashed")
	}
	return strings.Join(append(parts, o.Dir), ", ")
}

// finish reports how many torrents were imported, and those that failed.
func finish(a *app.App, s *importer.Session, n int, failed []error, what string) error {
	of := len(s.Torrents) + len(s.Failed)
	if of == 0 {
		a.Say("the session has no torrents")
	} else {
		a.Say("%s %s", report.Plural(n, "torrent"), what)
	}
	if len(failed) == 0 {
		return nil
	}
	return a.SomeFailed(failed, of)
}
