package main

import (
	"errors"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/hook"
	"seedbed/node"
)

func (a *app) getCommand() *cobra.Command {
	var c common
	hooks := hook.Hooks{Warn: a.warn}
	var seed, overwrite, metadataOnly, symlinks bool
	cmd := &cobra.Command{
		Use:   "get MAGNET|INFOHASH|FILE.torrent|URL...",
		Short: "Download torrents; exits when all are complete, or keeps seeding with --seed",
		Long: `Download torrents. A torrent is given as a magnet link, a bare infohash, a .torrent
file or the http(s) URL of one. A magnet link is enough: seedbed finds the swarm over
the DHT and peer exchange, and fetches the metadata from peers.

Ctrl-C saves and stops; run the same command again to resume.`,
		Example: `  seedbed get 'magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056'
  seedbed get --select 1,3-5 -d ~/films film.torrent
  seedbed get --metadata-only 'magnet:?xt=urn:btih:c9e15763f722f23e98a29decdfae341b98d53056'`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			cfg, err := c.nodeConfig()
			if err != nil {
				return err
			}
			var selected []int
			if c.selection != "" {
				if len(args) > 1 {
					return usage(errors.New("--select can be used with one torrent only"))
				}
				if selected, err = parseSelection(c.selection); err != nil {
					return usage(err)
				}
			}
			s := &session{app: a, cfg: cfg, timeout: c.Timeout, stay: seed, metadataOnly: metadataOnly, hooks: &hooks}
			for _, arg := range args {
				spec, err := openArgument(cmd.Context(), arg)
				if err != nil && (len(args) == 1 || cmd.Context().Err() != nil) {
					return err
				}
				if err != nil { // a warning; the others are still downloaded
					s.unreadable = append(s.unreadable, err)
					continue
				}
				spec.Dir, spec.Peers, spec.Select = c.dir, c.Peers.Values, selected
				spec.Overwrite, spec.MetadataOnly, spec.Symlinks = overwrite, metadataOnly, symlinks
				if !s.has(spec) {
					s.specs = append(s.specs, spec)
				}
			}
			if len(s.specs) == 0 {
				return a.allFailed(s.unreadable)
			}
			return s.run(cmd.Context())
		},
	}
	fs := cmd.Flags()
	c.addDir(fs, "download into `DIR`")
	c.addNetwork(fs)
	fs.StringVar(&c.selection, "select", "", "files to download, `1,3-5`, numbered as in the output of show")
	fs.BoolVar(&metadataOnly, "metadata-only", false, "write the .torrent file and stop")
	fs.BoolVar(&overwrite, "overwrite", false, "replace existing files that do not belong to the torrent")
	fs.BoolVar(&symlinks, "symlinks", false, "create the symbolic links of a torrent, except those that point outside it")
	fs.BoolVar(&seed, "seed", false, "keep seeding when complete")
	hooks.Add(fs)
	cmd.MarkFlagsMutuallyExclusive("metadata-only", "seed")
	cmd.MarkFlagsMutuallyExclusive("metadata-only", "on-complete")
	return cmd
}

// has reports whether the torrent of spec was given before, and records it.
func (s *session) has(spec node.Spec) bool {
	what := spec.InfoHash().String()
	if spec.Torrent == nil && spec.Link.HasPublicKey {
		what = spec.Link.PublicKey.String() + string(spec.Link.Salt)
	}
	if s.given[what] {
		return true
	}
	if s.given == nil {
		s.given = map[string]bool{}
	}
	s.given[what] = true
	return false
}
