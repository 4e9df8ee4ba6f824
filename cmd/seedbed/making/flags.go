// Package making makes torrents of files and folders for several commands: the flags that
// describe a torrent, hashing with progress, and the link of the result.
package making

import (
	"errors"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/option"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
	"seedbed/swarm/webseed"
)

// Flags are the flags of every command that makes a torrent of a file or folder.
type Flags struct {
	v1, v2, hybrid bool
	pieceLength    option.Size
	private        bool
	source         string
	noAttributes   bool
	rules          create.Rules

	set           *pflag.FlagSet
	comment, date string
	WebSeeds      []string
	NoWebSeed     bool // --web-seed none
	Trackers      []string
	nodes         []string
}

// DefaultFormat is the format of torrents for other people's clients: all of them open v1.
const DefaultFormat = metainfo.V1

// InfohashFlags are the flags that affect the infohash.
var InfohashFlags = []string{"v1", "v2", "hybrid", "piece-length", "private", "source", "no-attributes", "hidden", "links", "unreadable", "changing", "odd-names"}

// FlagNames returns the names of all flags.
func FlagNames() []string {
	return append(slices.Clone(InfohashFlags), "comment", "date", "web-seed", "tracker", "node")
}

// Add adds the flags to cmd.
func (m *Flags) Add(cmd *cobra.Command) {
	fs := cmd.Flags()
	m.set = fs
	fs.BoolVar(&m.hybrid, "hybrid", false, "make hybrid v1+v2 torrents (the default of publish --key), which Transmission 3 and aria2 cannot open")
	fs.BoolVar(&m.v1, "v1", false, "make v1 torrents, which every client opens (the default, except of publish --key)")
	fs.BoolVar(&m.v2, "v2", false, "make v2 torrents, which older clients cannot open")
	cmd.MarkFlagsMutuallyExclusive("v1", "v2", "hybrid")
	fs.Var(&m.pieceLength, "piece-length", "piece length, a power of two between 16K and 512M (default by size)")
	fs.BoolVar(&m.private, "private", false, "make private torrents: neither DHT nor peer exchange")
	fs.StringVar(&m.source, "source", "", "`TEXT` that changes the infohash, so that the torrent differs from others with the same data")
	fs.BoolVar(&m.noAttributes, "no-attributes", false, "do not record which files are executable")
	rule := func(what *create.Treatment, name, usage string, allowed ...create.Treatment) {
		fs.Var(newTreatmentFlag(what, allowed), name, usage)
	}
	rule(&m.rules.Hidden, "hidden", "how to handle files whose names begin with a dot", create.Skip, create.Keep)
	rule(&m.rules.Links, "links", "how to handle symbolic links", create.Skip, create.Keep, create.Refuse)
	rule(&m.rules.Unreadable, "unreadable", "how to handle files that cannot be read", create.Refuse, create.Skip)
	rule(&m.rules.Changing, "changing", "how to handle files that change while they are read", create.Refuse, create.Skip, create.Again)
	rule(&m.rules.Names, "odd-names", "how to handle names that other systems do not allow", create.Keep, create.Skip, create.Refuse)
	m.addDescription(fs)
}

// addDescription adds the flags for metadata outside the info dictionary.
func (m *Flags) addDescription(fs *pflag.FlagSet) {
	fs.StringVar(&m.comment, "comment", "", "`TEXT` for people who open the torrent")
	fs.StringVar(&m.date, "date", "", "creation date, `WHEN`: now, Unix seconds, or as in 2026-01-31T12:00:00Z (default none)")
	fs.Var(&webSeedFlag{option.List{To: &m.WebSeeds, Arg: "URL", Check: webseed.CheckURL}, &m.NoWebSeed}, "web-seed", "`URL` of an HTTP mirror of the data (BEP 19), or none; repeatable")
	fs.Var(&option.List{To: &m.Trackers, Arg: "URL", Check: checkTracker}, "tracker", "`URL` of a tracker, for other clients (seedbed contacts none); repeatable")
	fs.Var(&option.List{To: &m.nodes, Arg: "HOST:PORT", Check: option.CheckAddr}, "node", "`HOST:PORT` of a DHT node that knows the swarm (BEP 5); repeatable")
}

// Options returns the options that the flags set. Warnings are reported with a.Warn.
// Without a flag for the format, it is format.
func (m *Flags) Options(a *app.App, format metainfo.Format) (node.ShareOptions, error) {
	if n := int64(m.pieceLength); n != 0 && (n < metainfo.BlockSize || n > metainfo.MaxPieceLength || n&(n-1) != 0) {
		return node.ShareOptions{}, exit.Misuse(fmt.Errorf("--piece-length %d is not a power of two between 16K and 512M", n))
	}
	if _, err := parseDate(m.date); err != nil {
		return node.ShareOptions{}, exit.Misuse(err)
	}
	if m.NoWebSeed && len(m.WebSeeds) > 0 {
		return node.ShareOptions{}, exit.Misuse(errors.New("--web-seed none allows no other --web-seed"))
	}
	o := node.ShareOptions{
		Format: format, PieceLength: int64(m.pieceLength), Private: m.private, Source: m.source,
		NoAttributes: m.noAttributes, Rules: m.rules,
		Warn: a.Warn,
	}
	switch {
	case m.v1:
		o.Format = metainfo.V1
	case m.v2:
		o.Format = metainfo.V2
	case m.hybrid:
		o.Format = metainfo.Hybrid
	}
	return o, nil
}

// OfFiles returns the name of a flag that was given and that makes sense only for files on a disk, or "".
func (m *Flags) OfFiles() string {
	for _, name := range []string{"links", "unreadable", "changing", "no-attributes"} {
		if m.set.Changed(name) {
			return name
		}
	}
	return ""
}

// Describe sets the metadata outside the info dictionary from the flags.
func (m *Flags) Describe(t *metainfo.Torrent) {
	t.Comment, t.WebSeeds, t.Nodes = m.comment, m.WebSeeds, m.nodes
	t.CreationDate, _ = parseDate(m.date) // Options has validated it
	for _, tracker := range m.Trackers {
		t.Trackers = append(t.Trackers, []string{tracker})
	}
}

// checkTracker returns an error if s is not the URL of a tracker. Clients know HTTP (BEP 3),
// UDP (BEP 15) and, in browsers, WebSocket.
func checkTracker(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || !slices.Contains([]string{"http", "https", "udp", "ws", "wss"}, u.Scheme) {
		return fmt.Errorf("%q is not the URL of a tracker, as in udp://tracker.example.org:6969/announce", s)
	}
	return nil
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
		return 0, fmt.Errorf("--date %q is not now, Unix seconds or a time such as 2026-01-31T12:00:00Z", s)
	}
	return t.Unix(), nil
}
