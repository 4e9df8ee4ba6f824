package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
)

// making is the flags of every command that makes a torrent of a file or folder.
type making struct {
	v1, v2, hybrid bool
	pieceLength    sizeFlag
	private        bool
	source         string
	noAttributes   bool
	odd            create.Odd
}

func (m *making) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&m.hybrid, "hybrid", false, "make torrents with a v1 and a v2 side, which every client opens (the default)")
	fs.BoolVar(&m.v1, "v1", false, "make torrents of v1 alone")
	fs.BoolVar(&m.v2, "v2", false, "make torrents of v2 alone, which older clients do not open")
	cmd.MarkFlagsMutuallyExclusive("v1", "v2", "hybrid")
	fs.Var(&m.pieceLength, "piece-length", "piece length of torrents made here, a power of two (default by size)")
	fs.BoolVar(&m.private, "private", false, "make private torrents: neither DHT nor peer exchange")
	fs.StringVar(&m.source, "source", "", "`TEXT` that sets the infohash apart from that of the same data elsewhere")
	fs.BoolVar(&m.noAttributes, "no-attributes", false, "do not tell which files are executable")
	odd := func(what *create.Treatment, name, usage string, may ...create.Treatment) {
		fs.Var(&treatmentFlag{what, may}, name, usage)
	}
	odd(&m.odd.Hidden, "hidden", "files whose names begin with a dot: skip or keep (default skip)", create.Skip, create.Keep)
	odd(&m.odd.Links, "links", "symbolic links: skip, keep or refuse (default skip)", create.Skip, create.Keep, create.Refuse)
	odd(&m.odd.Unreadable, "unreadable", "what may not or cannot be read: refuse or skip (default refuse)", create.Refuse, create.Skip)
	odd(&m.odd.Changing, "changing", "files that change while they are read: refuse, skip or again (default refuse)", create.Refuse, create.Skip, create.Again)
	odd(&m.odd.Names, "odd-names", "names that would not survive on another system: keep, skip or refuse (default keep)", create.Keep, create.Skip, create.Refuse)
}

// options are what the flags say; warnings go to stderr.
func (m *making) options(a *app) (node.ShareOptions, error) {
	if n := int64(m.pieceLength); n != 0 && (n < metainfo.BlockSize || n > metainfo.MaxPieceLength || n&(n-1) != 0) {
		return node.ShareOptions{}, usage(fmt.Errorf("--piece-length %d is no power of two between 16K and 512M", n))
	}
	o := node.ShareOptions{
		Format: metainfo.Hybrid, PieceLength: int64(m.pieceLength), Private: m.private, Source: m.source,
		NoAttributes: m.noAttributes, Odd: m.odd,
		Warn: a.warn,
	}
	switch {
	case m.v1:
		o.Format = metainfo.V1
	case m.v2:
		o.Format = metainfo.V2
	}
	return o, nil
}

// make makes the torrent of a path, with its progress shown.
func (a *app) make(ctx context.Context, path string, o node.ShareOptions) (*create.Made, error) {
	progress := report.NewHashBar(a.output(), filepath.Base(filepath.Clean(path)))
	defer progress.Close()
	o.Progress = progress.Set
	made, err := node.Make(ctx, path, o)
	if errors.Is(err, context.Canceled) {
		return nil, fail(exitUnfinished, "", fmt.Errorf("stopped while hashing %s", path))
	}
	return made, err
}

// treatmentFlag is a word for what to do.
type treatmentFlag struct {
	to  *create.Treatment
	may []create.Treatment
}

var treatments = map[create.Treatment]string{create.Keep: "keep", create.Skip: "skip", create.Refuse: "refuse", create.Again: "again"}

func (f *treatmentFlag) Type() string   { return "WHAT" }
func (f *treatmentFlag) String() string { return treatments[*f.to] }

func (f *treatmentFlag) Set(s string) error {
	var words []string
	for _, t := range f.may {
		if treatments[t] == s {
			*f.to = t
			return nil
		}
		words = append(words, treatments[t])
	}
	slices.Sort(words)
	return fmt.Errorf("%q is none of %s", s, strings.Join(words, ", "))
}
