package torrentcmd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/argument"
	"seedbed/cmd/seedbed/handover"
	"seedbed/cmd/seedbed/making"
	"seedbed/cmd/seedbed/query"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/sealed"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/api/client"
	"seedbed/node/view"
)

// Show returns the command show.
func Show(a *app.App) *cobra.Command {
	var offline bool
	var versions versionFlags
	c := new(app.Flags)
	cmd := handover.Lookup{
		Flags: c,
		Fit:   []string{"no-dht", "resolver", "accept-change", "history", "copies"},
		Needed: func(args []string) (bool, error) {
			if !argument.IsLink(args[0]) {
				return false, nil
			}
			l, err := magnet.ParseBare(args[0])
			return err == nil && l.HasPublicKey && !offline, err
		},
		Visit: func(ctx context.Context, v *query.Visitor, args []string) error {
			if v != nil {
				p := publication{flags: &versions, count: copiesInDHT(v)}
				return p.show(ctx, a, handover.InDHT(v), args[0])
			}
			return showOffline(ctx, a, c, args[0])
		},
		Ask: func(ctx context.Context, d *client.Client, args []string) error {
			p := publication{flags: &versions, count: copiesByDaemon(d), daemon: d}
			return p.show(ctx, a, handover.WithDaemon(d), args[0])
		},
	}.Command(a, &cobra.Command{
		Use:   "show MAGNET|INFOHASH|FILE.torrent|URL|NAME|KEY",
		Short: "Show what a link or .torrent file contains",
		Long: `Show what a link or .torrent file contains. For a publisher link (xs=urn:btpk:), show
also queries the DHT for the latest version, whether its signature is valid, and which
nodes hold it; --no-dht skips this. NAME is a domain, such as example.org, whose owner
names a publication in the DNS. --history lists the versions that the publication names,
--at shows the files of one of them, and --diff compares two, without downloading them.
KEY is the name of a key of this machine: --copies is then the default, and if a daemon
publishes it, show also says how many followers are connected.
Otherwise show works offline, except that it fetches a .torrent file given as a URL.`,
		Example: `  seedbed show 'magnet:?xs=urn:btpk:8543d3e6115f0f98c944077a4493dcd543e49c739fd998550a1f614ab36ed63e' --history
  seedbed show example.org --diff 3..5
  seedbed show site`,
		Args: cobra.ExactArgs(1),
	})
	c.AddNames(cmd.Flags())
	cmd.Flags().BoolVar(&offline, "no-dht", false, "do not query the DHT")
	versions.add(cmd)
	lookup := cmd.RunE
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := versions.check(cmd); err != nil {
			return err
		}
		link, own, err := linkOfKey(c.State(), args[0])
		if err == nil && !own {
			link, err = c.ArgumentLink(cmd.Context(), a, args[0])
		}
		if err != nil {
			return err
		}
		versions.copies = versions.copies || own && !versions.history
		if versions.needsMetadata() {
			return versions.show(cmd.Context(), a, c, link)
		}
		return lookup(cmd, []string{link})
	}
	return cmd
}

// showOffline prints what a link or a .torrent file says by itself.
func showOffline(ctx context.Context, a *app.App, c *app.Flags, arg string) error {
	out, err := c.Outbound()
	if err != nil {
		return err
	}
	spec, err := argument.Read(ctx, out, arg)
	var lacks *metainfo.LayersError
	if errors.As(err, &lacks) {
		t := *lacks.Torrent
		t.Warnings = append(t.Warnings, lacks)
		spec, err = node.Spec{Torrent: &t}, nil
	}
	if err != nil {
		return err
	}
	var s shown
	if spec.Link != nil {
		s = showLink(spec.Link)
		s.given = argument.IsMagnet(arg)
	} else {
		s = showTorrent(spec.Torrent)
	}
	if a.JSON {
		return a.Put(&s.Show)
	}
	return s.print(a.Stdout)
}

// shown is what show prints.
type shown struct {
	view.Show
	note  error // why the link cannot be opened yet; or nil
	given bool  // Magnet is the argument of the user
}

func showLink(l *magnet.Link) shown {
	var v shown
	v.note = l.Openable()
	v.Named = view.Named{Name: l.Name, PeerHints: l.Peers, Trackers: l.Trackers, WebSeeds: l.WebSeeds,
		Select: selection(l.Select), Magnet: l.String(), Warnings: texts(l.Warnings)}
	if l.HasInfoHash {
		v.InfoHash = l.InfoHash.String()
	}
	if l.HasV2 {
		v.InfoHashV2 = l.V2.String()
	}
	if l.HasPublicKey {
		v.PublicKey, v.Salt = l.PublicKey.String(), string(l.Salt)
		v.Secret = [...]string{sealed.None: "", sealed.KeepAlive: "keep", sealed.Read: "read"}[l.Secret.Kind()]
	}
	if l.Length > 0 {
		v.Size = &l.Length
	}
	return v
}

func showTorrent(t *metainfo.Torrent) shown {
	pieces, size := t.Info.NumPieces(), t.Info.Payload()
	var v shown
	v.InfoHash = t.Info.Hash.String()
	v.Named = view.Named{
		Name: t.Info.Name, Spelled: t.Info.SpelledName, Size: &size,
		PieceLength: t.Info.PieceLength, Pieces: &pieces, Private: &t.Info.Private,
		Files: view.Files(t.Info), WebSeeds: t.WebSeeds, Comment: t.Comment, Magnet: making.LinkOf(t),
		Warnings: texts(t.Warnings),
	}
	if t.Info.HasV2() {
		v.InfoHashV2 = t.Info.HashV2.String()
	}
	for _, tier := range t.Trackers {
		v.Trackers = append(v.Trackers, tier...)
	}
	return v
}

func texts(errs []error) (out []string) {
	for _, err := range errs {
		out = append(out, err.Error())
	}
	return out
}

// selection formats BEP 53's so=, which counts from 0, as --select takes it, from 1.
func selection(rs []magnet.Range) string {
	var parts []string
	for _, r := range rs {
		s := strconv.FormatUint(uint64(r.First)+1, 10)
		if r.Last != r.First {
			s += "-" + strconv.FormatUint(uint64(r.Last)+1, 10)
		}
		parts = append(parts, s)
	}
	return strings.Join(parts, ",")
}

func (v shown) print(w io.Writer) error {
	var b strings.Builder
	row := func(label, value string) {
		if value != "" {
			report.Fprintf(&b, "%-10s  %s\n", label, report.Exact(value))
		}
	}
	row("name", v.Name)
	if v.Spelled != "" {
		row("spelled", strconv.Quote(v.Spelled))
	}
	row("infohash", v.InfoHash)
	row("v2", v.InfoHashV2)
	row("key", v.PublicKey)
	row("salt", v.Salt)
	row("secret", map[string]string{
		"read": "to read: this link opens the names and the content of a private publication",
		"keep": "to keep alive: this link opens neither the names nor the content of a private publication",
	}[v.Secret])
	if v.Size != nil {
		row("size", fmt.Sprintf("%s (%d bytes)", report.Size(*v.Size), *v.Size))
	}
	if v.Pieces != nil {
		row("pieces", fmt.Sprintf("%d of %s", *v.Pieces, report.PieceLength(v.PieceLength)))
	}
	if v.Private != nil && *v.Private {
		row("private", "yes: neither DHT nor peer exchange")
	}
	row("select", v.Select)
	for _, p := range v.PeerHints {
		row("peer", p)
	}
	for _, t := range v.Trackers {
		row("tracker", t+"  (kept, never contacted)")
	}
	for _, s := range v.WebSeeds {
		row("web seed", s)
	}
	row("comment", v.Comment)
	if v.note != nil {
		row("note", v.note.Error())
	}
	if !v.given && v.PublicKey == "" {
		row("link", v.Magnet)
	}
	for _, w := range v.Warnings {
		row("warning", w)
	}
	if len(v.Files) > 0 {
		b.WriteString("files\n")
		width := len(strconv.Itoa(len(v.Files)))
		for i, f := range v.Files {
			report.Fprintf(&b, "  %*d  %8s  %s\n", width, i+1, report.Size(f.Size), report.Exact(report.FileLine(&f)))
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}
