package main

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

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/hook"
	"seedbed/cmd/seedbed/watch"
	"seedbed/magnet"
	"seedbed/node"
)

func (a *app) seedCommand() *cobra.Command {
	var c common
	var torrents string
	var m making
	hooks := hook.Hooks{Warn: a.warn}
	cmd := &cobra.Command{
		Use:   "seed PATH|FILE.torrent|URL...",
		Short: "Seed a file or folder, or existing data of a .torrent file (with -d)",
		Long: `Seed data and print its magnet link. The torrent of a file or folder is created on the
spot. The data of a .torrent file or its URL must be in --dir, and is verified first
unless a resume record shows it is intact. Incomplete data is an error; of several
torrents, only that one ends.

The default torrent is a hybrid of v1 and v2; Transmission 3 and aria2 cannot open
hybrids, use --v1 for those. With --torrents, files that appear later are seeded too.`,
		Example: `  seedbed seed holiday/
  seedbed seed film.torrent -d ~/films
  seedbed seed --torrents ~/torrents -d ~/data`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 0 && torrents == "" {
				return fail(exitUsage, "see seedbed seed --help", errors.New("missing argument: a file, a folder or a .torrent file"))
			}
			cfg, err := c.nodeConfig()
			if err != nil {
				return err
			}
			opts, err := m.options(a)
			if err != nil {
				return err
			}
			more, err := listTorrents(torrents, cmd.InOrStdin())
			if err != nil {
				return err
			}
			s := &session{app: a, cfg: cfg, timeout: c.Timeout, stay: true, seeding: true, hooks: &hooks}
			if torrents != "" && torrents != "-" {
				s.take = func(arg string) (node.Spec, error) {
					return a.shareArgument(cmd.Context(), arg, &c, &m, opts)
				}
				if s.arrivals, err = watch.Torrents(cmd.Context(), torrents); err != nil {
					a.warn(err)
				}
			}
			return a.seedPaths(cmd.Context(), s, slices.Concat(args, more), &c, &m, opts)
		},
	}
	fs := cmd.Flags()
	c.addDir(fs, "`DIR` with the data of .torrent files")
	c.addNetwork(fs)
	fs.StringVar(&torrents, "torrents", "", "seed every .torrent file in `DIR`, also those that appear later; - reads paths from standard input")
	hooks.Add(fs)
	m.add(cmd)
	return cmd
}

// seedPaths seeds files, folders, and the data of .torrent files, until a signal.
func (a *app) seedPaths(ctx context.Context, s *session, paths []string, c *common, m *making, opts node.ShareOptions) error {
	if len(paths) == 0 && s.arrivals == nil {
		return usage(errors.New("missing argument: a file, a folder or a .torrent file"))
	}
	for _, arg := range paths {
		spec, err := a.shareArgument(ctx, arg, c, m, opts)
		if err != nil && (len(paths) == 1 && s.arrivals == nil || ctx.Err() != nil) {
			return err
		}
		if err != nil { // a warning; the others are still seeded
			s.unreadable = append(s.unreadable, err)
			continue
		}
		spec.Peers = c.Peers.Values
		if !s.has(spec) {
			s.specs = append(s.specs, spec)
		}
	}
	if len(s.specs) == 0 && s.arrivals == nil {
		return a.allFailed(s.unreadable)
	}
	return s.run(ctx)
}

// shareArgument returns what to seed for a .torrent file, or for a file or folder, which it
// hashes.
func (a *app) shareArgument(ctx context.Context, arg string, c *common, m *making, opts node.ShareOptions) (node.Spec, error) {
	if isURL(arg) {
		spec, err := readArgument(ctx, arg)
		if err == nil && spec.Torrent == nil {
			err = fail(exitTorrent, "", fmt.Errorf("%s leads to a magnet link, not to a .torrent file", arg))
		}
		spec.Dir, spec.Seed = c.dir, true
		return spec, err
	}
	st, err := os.Stat(arg)
	if err != nil {
		return node.Spec{}, noSource(arg, err)
	}
	if !st.IsDir() && watch.IsTorrent(arg) {
		t, err := readTorrent(ctx, arg)
		if err != nil {
			return node.Spec{}, err
		}
		return node.Spec{Torrent: t, Dir: c.dir, Seed: true}, nil
	}
	made, err := a.make(ctx, arg, opts, a.own(c.State()))
	if err != nil {
		return node.Spec{}, err
	}
	spec, err := node.MadeSpec(arg, made)
	if err == nil {
		m.describe(spec.Torrent)
		spec.Link = new(magnet.Link)
		describeLink(spec.Link, spec.Torrent)
	}
	return spec, err
}

// listTorrents returns every .torrent file in a folder, sorted by name. If from is "-", it
// returns the paths that in lists, one per line.
func listTorrents(from string, in io.Reader) ([]string, error) {
	switch from {
	case "":
		return nil, nil
	case "-":
		var out []string
		sc := bufio.NewScanner(in)
		sc.Buffer(nil, 64<<10)
		for sc.Scan() {
			if line := strings.TrimSpace(sc.Text()); line != "" {
				out = append(out, line)
			}
		}
		if err := sc.Err(); err != nil {
			return nil, fail(exitUsage, "give one path a line", fmt.Errorf("standard input: %w", err))
		}
		return out, nil
	}
	entries, err := os.ReadDir(from)
	if err != nil {
		return nil, fail(codeOf(err), "--torrents takes a folder, or - for paths on standard input", describePathError(from, err))
	}
	var out []string
	for _, e := range entries {
		if !e.IsDir() && watch.IsTorrent(e.Name()) {
			out = append(out, filepath.Join(from, e.Name()))
		}
	}
	return out, nil
}
