package torrentcmd

import (
	"context"
	"errors"
	"fmt"
	"path"

	"seedbed/cmd/seedbed/app"
	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/making"
	"seedbed/cmd/seedbed/report"
	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/s3store"
)

// createObjects makes a torrent of objects in a store and writes it to out. A public bucket becomes a web seed.
func createObjects(ctx context.Context, a *app.App, f *app.Flags, location string, m *making.Flags, o node.ShareOptions, out string, overwrite bool) error {
	at, err := objectstore.ParseLocation(location)
	if err != nil {
		return exit.Misuse(err)
	}
	if flag := m.OfFiles(); flag != "" {
		return exit.Misuse(fmt.Errorf("--%s is for files on a disk, and %s is in an object store", flag, location))
	}
	store, away, err := f.ObjectStore(ctx, at)
	if err != nil {
		return err
	}
	if away != nil {
		store.Close()
		return away
	}
	defer store.Close()
	var file *output
	if out != "-" {
		if out == "" {
			out = path.Base(at.Bucket+"/"+at.Prefix) + ".torrent"
		}
		if file, err = openOutput(out, overwrite); err != nil {
			return err
		}
		defer file.close()
	}
	info, err := hashObjects(ctx, a, store, o)
	if err != nil {
		return err
	}
	t := metainfo.Torrent{Info: info, CreatedBy: "seedbed"}
	m.Describe(&t)
	public := ""
	if !m.NoWebSeed {
		public = s3store.NewWebSeeds(store, a.Warn).AddMade(ctx, &t)
	}
	if err := writeCreated(ctx, a, &t, file, out); err != nil {
		return err
	}
	if public != "" && file != nil && !a.JSON && !a.Quiet {
		a.Say("%s  %s, because everybody can read it there; --web-seed none leaves it out", "web seed", report.Exact(public))
	}
	return nil
}

// hashObjects makes the torrent and shows the progress.
func hashObjects(ctx context.Context, a *app.App, store *objectstore.Store, o node.ShareOptions) (*metainfo.Info, error) {
	location := store.Location().String()
	progress := report.NewHashBar(a.Output(), path.Base(location))
	defer progress.Close()
	o.Progress = progress.Set
	made, err := s3store.Make(ctx, store, s3store.OptionsOf(o))
	switch {
	case errors.Is(err, context.Canceled):
		return nil, exit.Fail(exit.Unfinished, "", fmt.Errorf("stopped while hashing %s", location))
	case err != nil:
		return nil, err
	}
	return made.Info, nil
}
