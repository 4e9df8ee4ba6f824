package torrentcmd

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/magnet"
	"seedbed/magnet/delegation"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/tree"
	"seedbed/node/view"
)

// versionFlags are the flags of show about the versions of a publication.
type versionFlags struct {
	history bool
	copies  bool
	at      int64
	diff    string
}

func (f *versionFlags) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&f.history, "history", false, "of a publisher link or name, list the versions that its item names")
	fs.BoolVar(&f.copies, "copies", false, "of a publisher link or name, also ask the DHT how many peers have each of the newest versions")
	fs.Int64Var(&f.at, "at", 0, "of a publisher link or name, show the files of version `N`; only the metadata is fetched")
	fs.StringVar(&f.diff, "diff", "", "of a publisher link or name, show how two versions differ: `N..M`; only the metadata is fetched")
	cmd.MarkFlagsMutuallyExclusive("history", "at", "diff", "no-dht")
	cmd.MarkFlagsMutuallyExclusive("copies", "history", "at", "diff", "no-dht")
}

// needsMetadata reports whether the metadata of versions has to be fetched.
func (f *versionFlags) needsMetadata() bool { return f.at != 0 || f.diff != "" }

// parseDiff parses the value of --diff.
func parseDiff(text string) (from, to int64, err error) {
	a, b, ok := strings.Cut(text, "..")
	if ok {
		from, err = strconv.ParseInt(a, 10, 64)
	}
	if ok && err == nil {
		to, err = strconv.ParseInt(b, 10, 64)
	}
	if !ok || err != nil || from < 1 || to < 1 {
		return 0, 0, exit.Misuse(fmt.Errorf("--diff %s: give two version numbers, for example 3..5", text))
	}
	return from, to, nil
}

// maxDiffFiles limits the files that --diff lists.
const maxDiffFiles = 100_000

// check returns an error if --at and --diff are used wrongly, before anything is looked up.
func (f *versionFlags) check(cmd *cobra.Command) error {
	fs := cmd.Flags()
	if !fs.Changed("at") && !fs.Changed("diff") {
		return nil
	}
	if fs.Changed("daemon") || fs.Changed("socket") {
		return exit.Misuse(errors.New("--at and --diff fetch the metadata themselves: leave out --daemon and --socket"))
	}
	if fs.Changed("diff") {
		_, _, err := parseDiff(f.diff)
		return err
	}
	return checkNumber(f.at)
}

// checkNumber returns an error if the value of --at cannot be the number of a version.
func checkNumber(at int64) error {
	if at < 1 {
		return exit.Misuse(fmt.Errorf("--at %d: versions have numbers from 1", at))
	}
	return nil
}

// show prints what --at or --diff asks for; check has passed.
func (f *versionFlags) show(ctx context.Context, a *app.App, c *app.Flags, arg string) error {
	link, err := magnet.ParseBare(arg)
	if err != nil {
		return err
	}
	if !link.HasPublicKey {
		return exit.Misuse(errors.New("--at and --diff need a publisher link (xs=urn:btpk:): other links have no versions"))
	}
	if link.IsPrivate() && !link.Secret.CanRead() {
		return exit.Misuse(errors.New("--at and --diff need the link to read of a private publication: with the link to keep it alive, the names of the files stay encrypted"))
	}
	return withVersions(ctx, a, c, link, func(ctx context.Context, v *versions) error {
		if f.diff == "" {
			return v.showAt(ctx, f.at)
		}
		from, to, err := parseDiff(f.diff)
		if err != nil {
			return err
		}
		return v.showDiff(ctx, from, to)
	})
}

// versions fetches the metadata of the versions of a publication.
type versions struct {
	app    *app.App
	node   *node.Node
	link   *magnet.Link
	newest delegation.Version
	within time.Duration
}

// withVersions joins the network for a moment, finds the newest item of a publication and calls do.
func withVersions(ctx context.Context, a *app.App, c *app.Flags, link *magnet.Link, do func(context.Context, *versions) error) (err error) {
	cfg, err := c.NodeConfig(ctx)
	if err != nil {
		return err
	}
	cfg.PortMap = node.PortMapOff // nobody has to connect to us
	n, err := a.OpenNode(cfg)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, a.CloseNode(n)) }()
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	_, newest, err := n.Resolve(ctx, link)
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return exit.Fail(exit.Timeout, "use a longer --timeout, or run seedbed doctor", fmt.Errorf("the newest version was not found within %v", c.Timeout))
	case errors.Is(err, context.Canceled):
		return exit.Fail(exit.Unfinished, "", errors.New("stopped before the newest version was found"))
	case err != nil:
		return err
	}
	return do(ctx, &versions{a, n, link, newest, c.Timeout})
}

// version is the metadata of a version.
type version struct {
	files   *metainfo.Info // as the publisher named them
	torrent *metainfo.Info // that is transferred; of a private publication it is encrypted
}

// metadata fetches the metadata of a version.
func (v *versions) metadata(ctx context.Context, seq int64) (got version, err error) {
	at, err := node.VersionAt(v.link, &v.newest, seq)
	if err != nil {
		return version{}, err
	}
	if v.link.IsPrivate() {
		got.files, got.torrent, err = tree.SealedFiles(ctx, v.node, at, v.link.Secret.Keys())
	} else {
		got.files, err = v.node.Inspect(ctx, at, nil, func(node.Snapshot) {})
		got.torrent = got.files
	}
	switch {
	case errors.Is(err, context.DeadlineExceeded):
		return version{}, exit.Fail(exit.Timeout, "the publisher, or a follower that keeps the version, must be online; if one is, use a longer --timeout",
			fmt.Errorf("nobody sent the metadata of version %d within %v", seq, v.within))
	case errors.Is(err, context.Canceled):
		return version{}, exit.Fail(exit.Unfinished, "", fmt.Errorf("stopped before the metadata of version %d was received", seq))
	}
	return got, err
}

// showAt prints a version.
func (v *versions) showAt(ctx context.Context, seq int64) error {
	got, err := v.metadata(ctx, seq)
	if err != nil {
		return err
	}
	s := showTorrent(&metainfo.Torrent{Info: got.files})
	s.PublicKey, s.Salt, s.Seq, s.given = v.link.PublicKey.String(), string(v.link.Salt), &seq, true
	if v.app.JSON {
		return v.app.Put(&s.Show)
	}
	return s.print(v.app.Stdout)
}

// showDiff prints how two versions differ.
func (v *versions) showDiff(ctx context.Context, from, to int64) error {
	before, err := v.metadata(ctx, from)
	if err != nil {
		return err
	}
	after, err := v.metadata(ctx, to)
	if err != nil {
		return err
	}
	d := view.DiffOf(from, to, before.files, after.files, maxDiffFiles)
	d.Fetch = metainfo.FetchSize(before.torrent, after.torrent)
	if v.app.JSON {
		return v.app.Put(view.DifferenceOf(&d))
	}
	printDiff(v.app, &d)
	return nil
}

// signs precede the files of a difference.
var signs = map[string]string{"added": "+", "removed": "-", "changed": "*", "unknown": "?", "renamed": ">"}

func printDiff(a *app.App, d *view.VersionDiff) {
	for _, f := range d.Files {
		size := report.Size(f.Size)
		if f.Change == "removed" {
			size = report.Size(f.OldSize)
		}
		from := ""
		if f.From != "" {
			from = "  (was " + report.Clean(f.From) + ")"
		}
		a.Result("%s %8s  %s%s", signs[f.Change], size, report.Exact(f.Path), from)
	}
	if d.More {
		a.Say("only the first %d files are listed", len(d.Files))
	}
	a.Say("%d added, %d removed, %d changed, %d renamed, %d perhaps changed, %d the same; %s, before %s", d.Added, d.Removed, d.Changed, d.Renamed, d.Unknown, d.Same,
		report.Size(d.Size), report.Size(d.OldSize))
	a.Say("a follower of version %d downloads at most %s for version %d", d.From, report.Size(d.Fetch), d.To)
}

// printVersions prints the versions that an item names, the newest first.
func printVersions(a *app.App, list []view.NamedVersion) {
	width := len(strconv.FormatInt(list[0].Seq, 10))
	for _, v := range list {
		at := "time unknown"
		if t, err := time.Parse(time.RFC3339, v.Time); err == nil {
			at = t.Local().Format("2006-01-02 15:04:05")
		}
		a.Result("%*d  %-19s  %s", width, v.Seq, at, v.InfoHash)
	}
}
