package publish

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/sealed"
	"seedbed/internal/sealedfs"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
)

// A private publication (docs/privacy.md) has these files too:
//
//	publications/TARGET/sealed/NAME   the encrypted copy, which is seeded
//	publications/TARGET/plain.torrent the torrent of the files that the copy is made of
//	publications/TARGET/plain.stamps  size and time of these files
//	publications/TARGET/earlier/HASH  the manifest of an earlier version, by infohash (archive.go)
//
// While the copy is changed, plain.torrent is missing, so that an incomplete copy is
// made again from the start.

var (
	errIsPublic = node.NewFault(node.FaultUsage, errors.New("this is published for everyone already, under a link that everyone can read"),
		"publish it under another key or --salt to make it private")
	errPrivateObjects = node.NewFault(node.FaultUsage, errors.New("what is in an object store cannot be published privately, because the encrypted copy of it is on this machine"),
		"leave out --secret, and publish it under another key or --salt")
	errPrivateOptions = node.NewFault(node.FaultUsage, errors.New("this publication is private: it has no HTTP mirrors and no source"), "leave out --web-seed and --source")
)

// secret returns the secret of a private publication. It is zero for a public one.
func (r *record) secret() (sealed.Secret, error) {
	if r.Secret == "" {
		return sealed.Secret{}, nil
	}
	return sealed.ParseSecret(sealed.Read, r.Secret)
}

// identify sets the key that signs the items, and their target.
func (p *Publication) identify(s sealed.Secret) {
	p.secret, p.key = s, p.user
	if !s.IsZero() {
		p.key = s.SigningKey(p.user.Seed())
	}
	p.target = dht.ItemTarget([ed25519.PublicKeySize]byte(p.key.Public().(ed25519.PublicKey)), p.itemSalt())
}

// subscribe exchanges the items with connected followers.
func (p *Publication) subscribe() {
	key := [ed25519.PublicKeySize]byte(p.key.Public().(ed25519.PublicKey))
	p.pushes = p.publisher.items.Subscribe(key, p.itemSalt(), func(i dht.Item) { p.reportForeign(&i) })
}

// itemSalt returns the salt of the item.
func (p *Publication) itemSalt() []byte {
	if p.secret.IsZero() {
		return p.folder.file.Salt
	}
	return p.secret.Salt()
}

// makeSecret makes the publication a private one. Its secret is recorded with the first version;
// the caller holds making and mu.
func (p *Publication) makeSecret() error {
	r := &p.folder.file
	if len(r.Versions) > 0 {
		return errIsPublic
	}
	var random [sealed.SecretLen]byte
	_, _ = rand.Read(random[:]) // never fails
	s := sealed.NewSecret(random)
	p.identify(s)
	if p.pushes != nil { // of the item that a public one would have
		p.pushes.Close()
		p.subscribe()
	}
	r.Secret, r.ItemKey = s.Text(), id.ID32(p.key.Public().(ed25519.PublicKey)).String()
	return nil
}

// facts are what the record says about the files of a version.
type facts struct {
	name  string
	size  int64
	files int
}

func factsOf(info *metainfo.Info) facts { return facts{info.Name, info.Payload(), info.Stored()} }

// factsOf returns the facts of a recorded version.
func (r *record) factsOf(seq int64) (f facts) {
	for i := range r.Versions {
		if v := &r.Versions[i]; v.Seq == seq {
			f = facts{v.Name, v.Size, v.Files}
		}
	}
	return f
}

// makePrivate brings the encrypted copy up to date, and makes a torrent of it. It hashes and
// encrypts only the files that have changed.
func (p *Publication) makePrivate(ctx context.Context) (*create.Made, node.Spec, error) {
	o, path := p.options, p.folder.file.Path
	plain := node.ShareOptions{Format: metainfo.V2, NoAttributes: o.NoAttributes, Rules: o.Rules, Omit: o.Omit, Warn: o.Warn,
		Before: p.folder.plain(), Progress: phase(o.Progress, 0)}
	files, err := node.Make(ctx, path, plain)
	if err != nil {
		return nil, node.Spec{}, err
	}
	c := sealedfs.Copy{Keys: p.secret.Keys(), Source: path, Info: files.Info, Dir: p.folder.sealedDir(), Changing: p.folder.dropPlain, Progress: phase(o.Progress, 1)}
	if plain.Before != nil {
		c.Before = plain.Before.Info
	}
	folder, err := c.Update(ctx)
	if err != nil {
		return nil, node.Spec{}, fmt.Errorf("cannot make the encrypted copy of %s: %w", path, err)
	}
	if err := p.folder.savePlain(files); err != nil {
		p.warn(fmt.Errorf("cannot save the size and time of the files, so all of them are encrypted again next time: %w", err))
	}
	made, err := node.Make(ctx, folder, node.ShareOptions{Format: metainfo.V2, PieceLength: o.PieceLength, NoAttributes: true,
		Before: p.folder.before(), Progress: phase(o.Progress, 2)})
	if err != nil {
		return nil, node.Spec{}, err
	}
	made.Fingerprint = files.Fingerprint
	p.facts = factsOf(files.Info)
	spec, err := node.MadeSpec(folder, made)
	return made, spec, err
}

// phases is the number of times that a private publication reads what has changed: the files are
// hashed, then encrypted, then the copy is hashed.
const phases = 3

// phase returns the progress function of one phase.
func phase(progress func(done, total int64), k int64) func(done, total int64) {
	if progress == nil {
		return nil
	}
	return func(done, total int64) { progress((k*total+done)/phases, total) }
}

func (f *folder) sealedDir() string { return filepath.Join(f.path, "sealed") }

func (f *folder) plainPath(suffix string) string { return filepath.Join(f.path, "plain."+suffix) }

// plain returns the torrent of the files that the encrypted copy is made of, with their stamps;
// nil if the copy is not complete, or is that of another path.
func (f *folder) plain() *create.Made {
	b, err := statefile.Read(f.plainPath("torrent"))
	if err != nil {
		return nil
	}
	t, err := metainfo.ParseTorrent(b)
	if err != nil {
		return nil
	}
	b, err = statefile.Read(f.plainPath("stamps"))
	var s stamps
	if err != nil || json.Unmarshal(b, &s) != nil || s.InfoHash != t.Info.Hash.String() || len(s.Stamps) != len(t.Info.Files) {
		return nil
	}
	if s.Path != f.file.Path {
		clear(s.Stamps) // the blobs may still be the same
	}
	return &create.Made{Info: t.Info, Stamps: s.Stamps}
}

func (f *folder) savePlain(made *create.Made) error {
	b, err := json.Marshal(stamps{f.file.Path, made.Info.Hash.String(), made.Stamps})
	if err != nil {
		return err
	}
	t := metainfo.Torrent{Info: made.Info}
	return errors.Join(statefile.Write(f.plainPath("stamps"), b), statefile.Write(f.plainPath("torrent"), t.Append(nil)))
}

// dropPlain records that the encrypted copy is not complete.
func (f *folder) dropPlain() error {
	err := os.Remove(f.plainPath("torrent"))
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	return err
}

// dropSealed deletes the encrypted copy, and the manifests of earlier versions.
func (f *folder) dropSealed() error {
	return errors.Join(f.dropPlain(), os.RemoveAll(f.sealedDir()), os.RemoveAll(f.earlierDir()))
}
