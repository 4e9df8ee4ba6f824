package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/settings"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
	"seedbed/swarm/webseed"
)

// making holds the flags of every command that makes a torrent of a file or folder.
type making struct {
	v1, v2, hybrid bool
	pieceLength    settings.Size
	private        bool
	source         string
	noAttributes   bool
	odd            create.Odd

	comment, date string
	webSeeds      settings.List
	trackers      settings.List
	nodes         settings.List
}

// makingFlags are the flags that affect the infohash.
var makingFlags = []string{"v1", "v2", "hybrid", "piece-length", "private", "source", "no-attributes", "hidden", "links", "unreadable", "changing", "odd-names"}

func (m *making) add(cmd *cobra.Command) {
	fs := cmd.Flags()
	fs.BoolVar(&m.hybrid, "hybrid", false, "make hybrid v1+v2 torrents (the default; Transmission 3 and aria2 cannot open them, use --v1 for those)")
	fs.BoolVar(&m.v1, "v1", false, "make v1 torrents, which every client opens")
	fs.BoolVar(&m.v2, "v2", false, "make v2 torrents, which older clients cannot open")
	cmd.MarkFlagsMutuallyExclusive("v1", "v2", "hybrid")
	fs.Var(&m.pieceLength, "piece-length", "piece length, a power of two between 16K and 512M (default by size)")
	fs.BoolVar(&m.private, "private", false, "make private torrents: neither DHT nor peer exchange")
	fs.StringVar(&m.source, "source", "", "`TEXT` that changes the infohash, so that the torrent differs from others with the same data")
	fs.BoolVar(&m.noAttributes, "no-attributes", false, "do not record which files are executable")
	odd := func(what *create.Treatment, name, usage string, may ...create.Treatment) {
		fs.Var(newTreatmentFlag(what, may), name, usage)
	}
	odd(&m.odd.Hidden, "hidden", "how to handle files whose names begin with a dot", create.Skip, create.Keep)
	odd(&m.odd.Links, "links", "how to handle symbolic links", create.Skip, create.Keep, create.Refuse)
	odd(&m.odd.Unreadable, "unreadable", "how to handle files that cannot be read", create.Refuse, create.Skip)
	odd(&m.odd.Changing, "changing", "how to handle files that change while they are read", create.Refuse, create.Skip, create.Again)
	odd(&m.odd.Names, "odd-names", "how to handle names that other systems do not allow", create.Keep, create.Skip, create.Refuse)
	m.addDescription(fs)
}

// addDescription adds the flags for metadata outside the info dictionary.
func (m *making) addDescription(fs *pflag.FlagSet) {
	fs.StringVar(&m.comment, "comment", "", "`TEXT` for people who open the torrent")
	fs.StringVar(&m.date, "date", "", "creation date, `WHEN`: now, Unix seconds, or as in 2026-01-31T12:00:00Z (default none)")
	m.webSeeds = settings.List{Arg: "URL", Check: webseed.CheckURL}
	fs.Var(&m.webSeeds, "web-seed", "`URL` of an HTTP mirror of the data (BEP 19); repeatable")
	m.trackers = settings.List{Arg: "URL"}
	fs.Var(&m.trackers, "tracker", "`URL` of a tracker, for other clients (seedbed contacts none); repeatable")
	m.nodes = settings.List{Arg: "HOST:PORT", Check: settings.CheckAddr}
	fs.Var(&m.nodes, "node", "`HOST:PORT` of a DHT node that knows the swarm (BEP 5); repeatable")
}

// options returns the options that the flags set; warnings go to stderr.
func (m *making) options(a *app) (node.ShareOptions, error) {
	if n := int64(m.pieceLength); n != 0 && (n < metainfo.BlockSize || n > metainfo.MaxPieceLength || n&(n-1) != 0) {
		return node.ShareOptions{}, usage(fmt.Errorf("--piece-length %d is not a power of two between 16K and 512M", n))
	}
	if _, err := parseDate(m.date); err != nil {
		return node.ShareOptions{}, usage(err)
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

// describe sets the metadata outside the info dictionary from the flags.
func (m *making) describe(t *metainfo.Torrent) {
	t.Comment, t.WebSeeds, t.Nodes = m.comment, m.webSeeds.Values, m.nodes.Values
	t.CreationDate, _ = parseDate(m.date) // options has validated it
	for _, tracker := range m.trackers.Values {
		t.Trackers = append(t.Trackers, []string{tracker})
	}
}

// parseDate parses a date into Unix seconds; "" is 0, which means no date.
func parseDate(s string) (int64, error) {
	switch s {
	case "":
		return 0, nil
	case "now":
		return time.Now().Unix(), nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		return n, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, fmt.Errorf("--date %q is neither now nor Unix seconds nor of the form 2026-01-31T12:00:00Z", s)
	}
	return t.Unix(), nil
}

// make makes a torrent of a path and shows the progress. It leaves out the files that the
// command itself writes.
func (a *app) make(ctx context.Context, path string, o node.ShareOptions, own ownFiles) (*create.Made, error) {
	progress := report.NewHashBar(a.output(), filepath.Base(filepath.Clean(path)))
	defer progress.Close()
	o.Progress = progress.Set
	o.Omit = own.has
	made, err := node.Make(ctx, path, o)
	if errors.Is(err, context.Canceled) {
		return nil, fail(exitUnfinished, "", fmt.Errorf("stopped while hashing %s", path))
	}
	return made, err
}

// ownFiles are files and folders that a command itself writes. A torrent never contains
// them, even if they are in the folder that is shared.
type ownFiles []fs.FileInfo

// own returns the files that a writes: its output, if that is a file, and the state
// directory.
func (a *app) own(state string) (own ownFiles) {
	for _, f := range []*os.File{a.stdout.File, a.stderr.File} {
		if fi, err := f.Stat(); err == nil && fi.Mode().IsRegular() {
			own = append(own, fi)
		}
	}
	return own.and(state)
}

// and adds the file or folder at path, if it exists.
func (o ownFiles) and(path string) ownFiles {
	if fi, err := os.Lstat(path); err == nil {
		return append(o[:len(o):len(o)], fi)
	}
	return o
}

func (o ownFiles) has(fi fs.FileInfo) bool {
	return slices.ContainsFunc(o, func(own fs.FileInfo) bool { return os.SameFile(own, fi) })
}

// treatmentFlag is a flag for a create.Treatment: one of several words; the first is the
// default.
type treatmentFlag struct {
	settings.Word
	to  *create.Treatment
	may []create.Treatment
}

var treatments = map[create.Treatment]string{create.Keep: "keep", create.Skip: "skip", create.Refuse: "refuse", create.Again: "again"}

func newTreatmentFlag(to *create.Treatment, may []create.Treatment) *treatmentFlag {
	f := &treatmentFlag{to: to, may: may}
	for _, t := range may {
		f.Words = append(f.Words, treatments[t])
	}
	f.Value = f.Words[0]
	return f
}

// Set implements pflag.Value.
func (f *treatmentFlag) Set(s string) error {
	if err := f.Word.Set(s); err != nil {
		return err
	}
	*f.to = f.may[slices.Index(f.Words, s)]
	return nil
}
