package torrentcmd

import (
	"context"
	"path/filepath"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/making"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/view"
)

// Create returns the command create.
func Create(a *app.App) *cobra.Command {
	var m making.Flags
	var c app.Flags
	var out string
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "create PATH|s3://BUCKET/PREFIX",
		Short: "Make a .torrent file of a file or folder, or of objects in a store",
		Long: `Make a .torrent file and print its magnet link. The default is a v1 torrent, which
every client opens. --hybrid adds the SHA-256 hashes of v2, for clients that verify
them; Transmission 3 and aria2 cannot open hybrids. The same files
make the same infohash on every machine: only their names, their order by name, their
content, and whether they are executable count.

Links, hidden files and other unusual files are reported, and a flag decides how to
handle them. The .torrent file itself is never part of the torrent.

With s3://BUCKET/PREFIX it hashes the objects below a prefix of an object store, or the
one object of that name, without a copy on this machine. If everybody can read them, the
torrent gets their URL as a web seed. Credentials are found where the AWS tools look for
them.`,
		Example: `  seedbed create holiday/
  seedbed create film.mkv -o - | ssh host 'cat > film.torrent'
  seedbed create site/ --web-seed https://example.org/mirror/
  seedbed create s3://bucket/films/metropolis`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := m.Options(a, making.DefaultFormat)
			if err != nil {
				return err
			}
			if objectstore.IsLocation(args[0]) {
				return createObjects(cmd.Context(), a, &c, args[0], &m, o, out, overwrite)
			}
			return create(cmd.Context(), a, args[0], &m, o, out, overwrite)
		},
	}
	fs := cmd.Flags()
	m.Add(cmd)
	c.AddOutbound(fs)
	c.AddStoreAccess(fs)
	fs.StringVarP(&out, "output", "o", "", "write `FILE`; - is standard output (default NAME.torrent in the current folder)")
	fs.BoolVar(&overwrite, "overwrite", false, "replace an existing .torrent file")
	return cmd
}

// create makes a torrent of path and writes it to out.
func create(ctx context.Context, a *app.App, path string, m *making.Flags, o node.ShareOptions, out string, overwrite bool) error {
	own := making.OwnFiles(a, "")
	var file *output
	if out != "-" {
		if out == "" {
			abs, err := filepath.Abs(path)
			if err != nil {
				return err
			}
			out = filepath.Base(abs) + ".torrent"
		}
		if err := making.CheckSource(path); err != nil {
			return err
		}
		var err error
		if file, err = openOutput(out, overwrite); err != nil {
			return err
		}
		defer file.close()
		own = file.own(own)
	}
	made, err := making.Make(ctx, a, path, o, own)
	if err != nil {
		return err
	}
	t := metainfo.Torrent{Info: made.Info, CreatedBy: "seedbed"}
	m.Describe(&t)
	return writeCreated(ctx, a, &t, file, out)
}

// writeCreated writes a torrent to a file, or to standard output if file is nil, and prints it.
func writeCreated(ctx context.Context, a *app.App, t *metainfo.Torrent, file *output, out string) error {
	if file == nil {
		_, err := a.Stdout.Write(t.Append(nil))
		return err
	}
	if err := file.write(ctx, t.Append(nil)); err != nil {
		return err
	}
	return showCreated(a, t, out)
}

// showCreated prints the torrent that was written.
func showCreated(a *app.App, t *metainfo.Torrent, out string) error {
	link := making.LinkOf(t)
	if a.JSON {
		s := showTorrent(t)
		return a.Put(&view.Create{Head: s.Head, Torrent: out, Named: s.Named})
	}
	if a.Quiet {
		a.Result("%s", report.Exact(link))
		return nil
	}
	i := t.Info
	a.Say("%s  %s", "torrent ", report.Exact(out))
	a.Say("%s  %s in %s, %s of %s", "holds   ", report.Size(i.Payload()), report.Plural(i.Stored(), "file"), report.Plural(i.NumPieces(), "piece"), report.PieceLength(i.PieceLength))
	if i.HasV1() {
		a.Say("%s  %s", "infohash", i.Hash)
	}
	if i.HasV2() {
		a.Say("%s  %s", "v2      ", i.HashV2)
	}
	a.Say("%s  %s", "magnet  ", report.Exact(link))
	return nil
}
