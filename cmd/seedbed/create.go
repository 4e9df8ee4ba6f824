package main

import (
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/report"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/webseed"
)

func (a *app) createCommand() *cobra.Command {
	var m making
	var out, comment, date string
	var webSeeds, trackers, nodes []string
	var overwrite bool
	cmd := &cobra.Command{
		Use:   "create PATH",
		Short: "Make a .torrent file of a file or folder",
		Long: `Make a .torrent file, a hybrid that old and new clients open, and print its magnet
link. The same files make the same infohash on every machine: nothing goes in but
their names, their order by name, their content, and whether they are executable.

Links, hidden files and what else is odd is told, and a flag decides about it.`,
		Example: `  seedbed create holiday/
  seedbed create film.mkv -o - --v1 | ssh host 'cat > film.torrent'
  seedbed create site/ --web-seed https://example.org/mirror/`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			o, err := m.options(a)
			if err != nil {
				return err
			}
			t := metainfo.Torrent{Comment: comment, CreatedBy: "seedbed", WebSeeds: webSeeds, Nodes: nodes}
			for _, w := range webSeeds {
				if err := webseed.CheckURL(w); err != nil {
					return usage(fmt.Errorf("--web-seed %w", err))
				}
			}
			for _, n := range nodes {
				if _, port, err := net.SplitHostPort(n); err != nil || port == "" {
					return usage(fmt.Errorf("--node %q is not of the form HOST:PORT", report.Clean(n)))
				}
			}
			for _, tr := range trackers {
				t.Trackers = append(t.Trackers, []string{tr})
			}
			if date != "" {
				if t.CreationDate, err = parseDate(date); err != nil {
					return usage(err)
				}
			}
			if out != "" && out != "-" && !overwrite {
				if _, err := os.Lstat(out); err == nil {
					return fail(exitExists, "use --overwrite to replace it", fmt.Errorf("%s is there already", out))
				}
			}
			made, err := a.make(cmd.Context(), args[0], o)
			if err != nil {
				return err
			}
			t.Info = made.Info
			return a.writeCreated(&t, out, overwrite)
		},
	}
	fs := cmd.Flags()
	m.add(cmd)
	fs.StringVarP(&out, "output", "o", "", "write `FILE`; - is standard output (default NAME.torrent in the current folder)")
	fs.BoolVar(&overwrite, "overwrite", false, "replace the .torrent file that is there")
	fs.StringVar(&comment, "comment", "", "`TEXT` for those who open it")
	fs.StringArrayVar(&webSeeds, "web-seed", nil, "`URL` of an HTTP mirror of the data (BEP 19); repeatable")
	fs.StringArrayVar(&trackers, "tracker", nil, "`URL` of a tracker, for other clients: seedbed contacts none; repeatable")
	fs.StringArrayVar(&nodes, "node", nil, "`HOST:PORT` of a DHT node that knows the swarm (BEP 5); repeatable")
	fs.StringVar(&date, "date", "", "say that it was made at `WHEN`: now, Unix seconds, or as 2026-01-31T12:00:00Z")
	return cmd
}

func parseDate(s string) (int64, error) {
	if s == "now" {
		return time.Now().Unix(), nil
	}
	if n, err := strconv.ParseInt(s, 10, 64); err == nil && n > 0 {
		return n, nil
	}
	t, err := time.Parse(time.RFC3339, s)
	if err != nil {
		return 0, fmt.Errorf("--date %q is neither now nor Unix seconds nor of the form 2026-01-31T12:00:00Z", report.Clean(s))
	}
	return t.Unix(), nil
}

// writeCreated writes the .torrent file and says what it is.
func (a *app) writeCreated(t *metainfo.Torrent, out string, overwrite bool) error {
	b := t.Append(nil)
	if out == "-" {
		_, err := a.stdout.Write(b)
		return err
	}
	if out == "" {
		out = t.Info.Name + ".torrent"
	}
	flag := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if !overwrite {
		flag |= os.O_EXCL
	}
	f, err := os.OpenFile(out, flag, 0o644)
	if errors.Is(err, fs.ErrExist) {
		return fail(exitExists, "use --overwrite to replace it", fmt.Errorf("%s is there already", out))
	}
	if err != nil {
		return fail(codeOf(err), "choose another with -o", describePathError(out, err))
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Close()); err != nil {
		return describePathError(out, err)
	}
	link := node.LinkOf(t.Info)
	if a.json {
		return a.put(struct {
			Torrent string `json:"torrent"`
			shown
		}{out, showTorrent(t)})
	}
	if a.quiet {
		a.result("%s", link)
		return nil
	}
	i := t.Info
	a.say("%s  %s", "torrent ", report.Clean(out))
	a.say("%s  %s in %s, %s of %s", "holds   ", report.Size(i.Payload()), report.Plural(i.Stored(), "file"), report.Plural(i.NumPieces(), "piece"), report.PieceLength(i.PieceLength))
	if i.HasV1() {
		a.say("%s  %s", "infohash", i.Hash)
	}
	if i.HasV2() {
		a.say("%s  %s", "v2      ", i.HashV2)
	}
	a.say("%s  %s", "magnet  ", link)
	return nil
}
