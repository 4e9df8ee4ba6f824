package session

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/id"
	"seedbed/internal/sealed"
	"seedbed/internal/sealedfs"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// sealedTorrent is a version of a private publication. It is downloaded to a hidden folder, and
// decrypted into the folder that the user has chosen when it is complete.
type sealedTorrent struct {
	secret    sealed.Secret
	hidden    string // the folder with the ciphertext
	dir       string // where the files belong
	overwrite bool
	isDone    bool // the files are written
}

// ErrKeepLink says that a link can keep a private publication alive, but not read it; stream returns it.
var ErrKeepLink = exit.Fail(exit.Usage, "ask the publisher for the link to read it", errors.New("this link can keep a private publication alive, but not read it"))

// ErrSelect says that --select cannot be used with a private publication.
var ErrSelect = exit.Misuse(errors.New("--select cannot be used with a private publication: its list of files is encrypted, too"))

// seal makes spec download a version of the private publication l to a hidden folder, if the link
// opens the files. Otherwise the ciphertext is what the user gets, but it cannot be played.
func (s *Session) seal(spec *node.Spec, l *magnet.Link) error {
	if !l.Secret.CanRead() {
		if s.Serve != nil && l.IsPrivate() {
			return ErrKeepLink
		}
		return nil
	}
	if spec.Select != nil {
		return ErrSelect
	}
	if s.MetadataOnly {
		return nil
	}
	t := &sealedTorrent{secret: l.Secret, dir: spec.Dir, hidden: filepath.Join(spec.Dir, ".sealed-"+l.PublicKey.Short().String()[:8]), overwrite: spec.Overwrite}
	spec.Dir = t.hidden
	if s.Serve != nil { // it is decrypted while it is read
		return nil
	}
	if s.sealed == nil {
		s.sealed = map[id.ID]*sealedTorrent{}
	}
	s.sealed[spec.Link.Hash()] = t
	return nil
}

// complete records that t is complete, and decrypts it before if it is of a private publication.
func (s *Session) complete(ctx context.Context, now *results, t *node.Torrent) {
	if t == nil || now.open[t.InfoHash()] == nil {
		return
	}
	var err error
	if private := s.sealed[t.InfoHash()]; private != nil {
		if err = private.decrypt(ctx, t.Info()); err != nil {
			err = fmt.Errorf("%s is complete, but its files cannot be written: %w", t.Name(), err)
		} else {
			private.isDone = true
		}
	}
	now.settle(t, err)
}

// decrypt writes the files into the user's folder.
func (t *sealedTorrent) decrypt(ctx context.Context, torrent *metainfo.Info) error {
	if torrent == nil {
		return node.ErrNoMetadata
	}
	from, err := os.OpenRoot(t.hidden)
	if err != nil {
		return err
	}
	defer from.Close()
	if t.dir != "" {
		if err := os.MkdirAll(t.dir, 0o755); err != nil {
			return err
		}
	}
	to, err := os.OpenRoot(filepath.Clean(t.dir))
	if err != nil {
		return err
	}
	defer to.Close()
	open := sealedfs.InFolder(torrent, from)
	tree, err := sealedfs.Open(t.secret.Keys(), sealedfs.BlobsOf(torrent), open)
	if err != nil {
		return err
	}
	x := sealedfs.Extraction{Tree: tree, Open: open, To: to, Overwrite: t.overwrite}
	return x.Run(ctx)
}

// deleteSealed deletes the ciphertext of what was decrypted, which the closed node no longer seeds.
func (s *Session) deleteSealed() error {
	var errs []error
	for infohash, t := range s.sealed {
		if t.isDone {
			errs = append(errs, node.Forget(s.Config.State, infohash), os.RemoveAll(t.hidden))
		}
	}
	return errors.Join(errs...)
}
