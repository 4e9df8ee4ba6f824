package handover

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"seedbed/cmd/seedbed/report"
	"seedbed/cmd/seedbed/session"
	"seedbed/internal/id"
	"seedbed/internal/sealed"
	"seedbed/internal/sealedfs"
	"seedbed/magnet"
	"seedbed/node/tree"
	"seedbed/node/view"
)

// The daemon downloads and seeds the encrypted copy of a private publication (docs/privacy.md), and the
// command decrypts it. So the daemon does not have the secret.

// resolve replaces the link of a publication by that of a version, and keeps the secret to read it for
// the torrent of that version.
func (d *Download) resolve(ctx context.Context, l *magnet.Link) (*magnet.Link, error) {
	if d.Resolve == nil || !l.HasPublicKey {
		return l, nil
	}
	version, err := d.Resolve(ctx, l)
	if err != nil || !l.Secret.CanRead() {
		return version, err
	}
	if d.secrets == nil {
		d.secrets = map[id.ID]sealed.Secret{}
	}
	d.secrets[version.Hash()] = l.Secret
	return version, nil
}

// isPrivate reports whether the command decrypts a torrent.
func (d *Download) isPrivate(infohash id.ID) bool { return d.secrets[infohash].CanRead() }

// blobs returns the files of a torrent of the daemon that can be blobs, and how to open them.
func (d *Download) blobs(ctx context.Context, infohash string) (sealedfs.Blobs, func(context.Context, int) (io.ReadSeekCloser, error), error) {
	files, err := d.Client.Files(ctx, infohash)
	if err != nil {
		return nil, nil, err
	}
	blobs := sealedfs.Blobs{}
	for i := range files {
		blobs[files[i].Path] = sealedfs.Blob{File: i, Size: files[i].Size}
	}
	return blobs, func(ctx context.Context, i int) (io.ReadSeekCloser, error) {
		return d.Client.OpenFile(ctx, infohash, files[i].Number, files[i].Size), nil
	}, nil
}

// tree returns the files of a private publication, which are decrypted while they are read.
func (d *Download) tree(ctx context.Context, o *view.Torrent) (*tree.Tree, error) {
	blobs, open, err := d.blobs(ctx, o.InfoHash)
	if err != nil {
		return nil, err
	}
	infohash, err := id.ParseHex(o.InfoHash)
	if err != nil {
		return nil, err
	}
	return tree.ReadSealed(ctx, d.secrets[infohash].Keys(), blobs, open)
}

// decrypt writes the files of a complete private publication into the user's folder, whose path it
// returns.
func (d *Download) decrypt(ctx context.Context, t *torrent) (dir string, err error) {
	if dir, err = filepath.Abs(d.Flags.Dir); err != nil {
		return "", err
	}
	blobs, open, err := d.blobs(ctx, t.InfoHash().String())
	if err != nil {
		return "", err
	}
	opener := func(i int) (io.ReadSeekCloser, error) { return open(ctx, i) }
	files, err := sealedfs.Open(d.secrets[t.InfoHash()].Keys(), blobs, opener)
	if err != nil {
		return "", err
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return "", err
	}
	to, err := os.OpenRoot(dir)
	if err != nil {
		return "", err
	}
	defer to.Close()
	x := sealedfs.Extraction{Tree: files, Open: opener, To: to, Overwrite: d.Body.Overwrite}
	if err := x.Run(ctx); err != nil {
		return "", err
	}
	t.rename(files.Info.Name)
	d.App.Say("%s is decrypted into %s", report.Exact(files.Info.Name), report.Exact(dir))
	return dir, nil
}

// finish decrypts a complete torrent if it is private. It returns the folder of its files.
func (d *Download) finish(ctx context.Context, t *torrent) (dir string, err error) {
	if d.toPlay || !d.isPrivate(t.InfoHash()) {
		return t.dir(), nil
	}
	if dir, err = d.decrypt(ctx, t); err != nil {
		err = fmt.Errorf("%s is complete, but its files cannot be written: %w", t.Name(), err)
	}
	return dir, err
}

// checkPrivate returns an error if the command cannot use the link of a private publication.
func (d *Download) checkPrivate(l *magnet.Link) error {
	switch {
	case !l.IsPrivate():
		return nil
	case d.toPlay && !l.Secret.CanRead():
		return session.ErrKeepLink
	case !d.toPlay && l.Secret.CanRead() && d.Body.Select != nil:
		return session.ErrSelect
	}
	return nil
}
