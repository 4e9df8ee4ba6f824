// Package demo has the command demo, which shows on one machine and without a network how
// the parts work together.
package demo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/version"
	"seedbed/magnet"
	"seedbed/node"
	"seedbed/node/view"
)

const (
	demoNodes   = 32
	demoTimeout = time.Minute
)

// Command returns the command demo.
func Command(a *app.App) *cobra.Command {
	return &cobra.Command{
		Use:   "demo",
		Short: "Show how it works, without a network",
		Long: `Start a private DHT of 32 nodes on loopback in this process. One node seeds a sample
folder; another downloads it from its bare magnet link. Shows each step.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			dir, err := os.MkdirTemp("", "seedbed-demo-")
			if err != nil {
				return err
			}
			defer os.RemoveAll(dir)
			ctx, cancel := context.WithTimeout(cmd.Context(), demoTimeout)
			defer cancel()
			d := &demo{app: a, dir: dir, began: time.Now()}
			defer d.close()
			err = d.run(ctx)
			if errors.Is(err, context.Canceled) {
				return exit.Fail(exit.Unfinished, "", errors.New("the demo was stopped"))
			}
			return err
		},
	}
}

// demo is one run of the demo command.
type demo struct {
	app   *app.App
	dir   string
	began time.Time
	step  int
	nodes []*node.Node
}

func (d *demo) say(format string, args ...any) {
	d.step++
	switch {
	case d.app.JSON:
		_ = d.app.Put(&view.Step{Number: d.step, Text: strings.Join(strings.Fields(fmt.Sprintf(format, args...)), " ")})
	case !d.app.Quiet:
		report.Fprintf(d.app.Output().Stdout(), "%6.2f s  %d. "+format+"\n", append([]any{time.Since(d.began).Seconds(), d.step}, args...)...)
	}
}

func (d *demo) run(ctx context.Context) error {
	var boot []string
	for i := range demoNodes {
		n, err := d.open(fmt.Sprintf("dht-%d", i), boot)
		if err != nil {
			return err
		}
		if boot == nil {
			boot = []string{n.Addrs()[0].String()}
		}
	}
	d.say("started a private DHT of %d nodes on loopback; the first is %s", demoNodes, boot[0])

	sample := filepath.Join(d.dir, "sample")
	size, err := writeSample(sample)
	if err != nil {
		return err
	}
	d.say("created a sample folder of %s", report.Size(size))

	spec, err := node.Share(ctx, sample, node.ShareOptions{})
	if err != nil {
		return err
	}
	sharer, err := d.open("sharer", boot)
	if err != nil {
		return err
	}
	shared, err := sharer.Add(spec)
	if err != nil {
		return err
	}
	if err := waitFor(ctx, shared.Announced()); err != nil {
		return fmt.Errorf("announcing to the DHT: %w", err)
	}
	link := (&magnet.Link{InfoHash: shared.InfoHash(), HasInfoHash: true}).String()
	d.say("one node seeds it and has announced it to the DHT:\n             %s", link)

	bare, err := magnet.Parse(link)
	if err != nil {
		return err
	}
	opener, err := d.open("opener", boot)
	if err != nil {
		return err
	}
	events := opener.Subscribe(node.Metadata, node.Complete)
	got := filepath.Join(d.dir, "got")
	d.say("another node knows only this link and one DHT node; it asks the DHT")
	_, err = opener.Add(node.Spec{Link: bare, Dir: got})
	if err != nil {
		return err
	}
	if err := d.narrate(ctx, events); err != nil {
		return fmt.Errorf("downloading: %w", err)
	}
	if err := sameTree(sample, filepath.Join(got, "sample")); err != nil {
		return err
	}
	d.say("the copy is identical; no tracker was involved")
	return nil
}

// narrate reports the steps of the downloading node until the download is complete.
func (d *demo) narrate(ctx context.Context, events *node.Subscription) error {
	for {
		if err := waitFor(ctx, events.Ready()); err != nil {
			return err
		}
		for _, e := range events.Take() {
			switch e.Kind {
			case node.Metadata:
				d.say("it found a peer and fetched the metadata from it: %s, %s, %s", e.Info.Name,
					report.Plural(len(e.Info.Files), "file"), report.Plural(e.Info.NumPieces(), "piece"))
			case node.Complete:
				d.say("every piece is downloaded and verified")
				return nil
			}
		}
	}
}

func (d *demo) open(name string, boot []string) (*node.Node, error) {
	if boot == nil {
		boot = []string{}
	}
	n, err := node.Open(node.Config{
		State: filepath.Join(d.dir, "state", name), Listen: "127.0.0.1:0",
		Bootstrap: boot, Version: "seedbed " + version.String(), Log: d.app.Logger(),
	})
	if err == nil {
		d.nodes = append(d.nodes, n)
	}
	return n, err
}

// demoCloses limits how long the nodes of a demo may take to close.
const demoCloses = 8 * time.Second

func (d *demo) close() {
	ctx, cancel := context.WithTimeout(context.Background(), demoCloses)
	defer cancel()
	done := make(chan struct{}, len(d.nodes))
	for _, n := range d.nodes {
		go func() {
			_ = n.Close(ctx) // the state of a demo is not kept
			done <- struct{}{}
		}()
	}
	for range d.nodes {
		<-done
	}
}

func waitFor(ctx context.Context, c <-chan struct{}) error {
	select {
	case <-c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// writeSample creates a small folder of several files and returns its size in bytes.
func writeSample(dir string) (int64, error) {
	files := map[string]int{"readme.txt": 700, "pictures/harbour.raw": 3_000_000, "pictures/island.raw": 1_500_000, "film.raw": 12_000_000}
	var total int64
	for name, size := range files {
		b := make([]byte, size)
		rng := rand.NewChaCha8([32]byte{byte(size), byte(size >> 8)})
		_, _ = rng.Read(b) // never fails
		p := filepath.Join(dir, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			return 0, err
		}
		if err := os.WriteFile(p, b, 0o644); err != nil {
			return 0, err
		}
		total += int64(size)
	}
	return total, nil
}

// sameTree compares every file of want with the file of the same name in got.
func sameTree(want, got string) error {
	return filepath.WalkDir(want, func(p string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		rel, err := filepath.Rel(want, p)
		if err != nil {
			return err
		}
		a, err := os.ReadFile(p)
		if err != nil {
			return err
		}
		b, err := os.ReadFile(filepath.Join(got, rel))
		if err != nil {
			return err
		}
		if !bytes.Equal(a, b) {
			return fmt.Errorf("%s differs from the original", rel)
		}
		return nil
	})
}
