package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/view"
)

func (a *app) createCommand() *cobra.Command {
	var m making
	var out string
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "create PATH",
		Short: "Make a .torrent file of a file or folder",
		Long: `Make a .torrent file and print its magnet link. The default is a hybrid of v1 and
v2; Transmission 3 and aria2 cannot open hybrids, use --v1 for those. The same files
make the same infohash on every machine: only their names, their order by name, their
content, and whether they are executable count.

Links, hidden files and other unusual files are reported, and a flag decides how to
handle them. The .torrent file itself is never part of the torrent.`,
		Example: `  seedbed create holiday/
  seedbed create film.mkv -o - --v1 | ssh host 'cat > film.torrent'
  seedbed create site/ --web-seed https://example.org/mirror/`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := m.options(a)
			if err != nil {
				return err
			}
			return a.create(cmd.Context(), args[0], &m, o, out, overwrite)
		},
	}
	fs := cmd.Flags()
	m.add(cmd)
	fs.StringVarP(&out, "output", "o", "", "write `FILE`; - is standard output (default NAME.torrent in the current folder)")
	fs.BoolVar(&overwrite, "overwrite", false, "replace an existing .torrent file")
	return cmd
}

// create makes a torrent of path and writes it to out.
func (a *app) create(ctx context.Context, path string, m *making, o node.ShareOptions, out string, overwrite bool) error {
	own := a.own("")
	var file *output
	if out != "-" {
		if out == "" {
			abs, err := filepath.Abs(path)
			if err != nil {
				return err
			}
			out = filepath.Base(abs) + ".torrent"
		}
		if err := checkSource(path); err != nil {
			return err
		}
		var err error
		if file, err = openOutput(out, overwrite); err != nil {
			return err
		}
		defer file.close()
		own = file.own(own)
	}
	made, err := a.make(ctx, path, o, own)
	if err != nil {
		return err
	}
	t := metainfo.Torrent{Info: made.Info, CreatedBy: "seedbed"}
	m.describe(&t)
	if file == nil {
		_, err := a.stdout.Write(t.Append(nil))
		return err
	}
	if err := file.write(t.Append(nil)); err != nil {
		return err
	}
	return a.showCreated(&t, out)
}

// linkOf returns the magnet link of a torrent with its web seeds, and with its trackers,
// which other clients use.
func linkOf(t *metainfo.Torrent) string {
	link, err := magnet.Parse(node.LinkOf(t.Info))
	if err != nil {
		panic(err) // node.LinkOf writes only valid links
	}
	describeLink(link, t)
	return link.String()
}

// describeLink adds the web seeds and trackers of a torrent to its link.
func describeLink(link *magnet.Link, t *metainfo.Torrent) {
	link.WebSeeds = t.WebSeeds
	for _, tier := range t.Trackers {
		link.Trackers = append(link.Trackers, tier...)
	}
}

// checkSource returns an error if the path to share does not exist.
func checkSource(path string) error {
	if _, err := os.Lstat(path); err != nil {
		return noSource(path, err)
	}
	return nil
}

// noSource returns the error for a path to share that cannot be examined.
func noSource(path string, err error) error {
	_, broken := os.Lstat(path)
	switch reason := reasonOf(err); {
	case broken == nil && errors.Is(reason, fs.ErrNotExist):
		return fail(exitNotFound, "give the path of a file or a folder", fmt.Errorf("%s is a symbolic link to nothing", path))
	case errors.Is(reason, fs.ErrNotExist), errors.Is(reason, syscall.ENOTDIR):
		return fail(exitNotFound, "give the path of a file or a folder", fmt.Errorf("%s does not exist", path))
	case errors.Is(reason, fs.ErrPermission):
		return fail(exitOpen, "allow this user to read it", fmt.Errorf("%s cannot be read: %w", path, reason))
	}
	return fail(codeOf(err), "", describePathError(path, err))
}

// showCreated prints the torrent that was written.
func (a *app) showCreated(t *metainfo.Torrent, out string) error {
	link := linkOf(t)
	if a.json {
		s := showTorrent(t)
		return a.put(&view.Create{Head: s.Head, Torrent: out, Named: s.Named})
	}
	if a.quiet {
		a.result("%s", report.Exact(link))
		return nil
	}
	i := t.Info
	a.say("%s  %s", "torrent ", report.Exact(out))
	a.say("%s  %s in %s, %s of %s", "holds   ", report.Size(i.Payload()), report.Plural(i.Stored(), "file"), report.Plural(i.NumPieces(), "piece"), report.PieceLength(i.PieceLength))
	if i.HasV1() {
		a.say("%s  %s", "infohash", i.Hash)
	}
	if i.HasV2() {
		a.say("%s  %s", "v2      ", i.HashV2)
	}
	a.say("%s  %s", "magnet  ", report.Exact(link))
	return nil
}
