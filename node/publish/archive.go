package publish

import (
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"sync"

	"seedbed/internal/id"
	"seedbed/internal/sealedfs"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// The publisher shares the metadata of earlier versions, so that anyone can see what they consisted of. Of
// a private publication it also shares their manifests, which list the files. It does not have the
// files any more.

// archive shares earlier versions on the node, by infohash.
type archive struct {
	mu      sync.Mutex
	shared  map[id.ID]*node.Archive
	isEnded bool
}

// shareEarlier shares the earlier versions that are to be shared, and no others. One that the node has as a
// torrent, such as the previous version for a moment, is left out.
func (p *Publication) shareEarlier() {
	a, ctx := &p.archive, p.publisher.ctx
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.isEnded || ctx.Err() != nil {
		return
	}
	list, newest := p.earlierToShare()
	wanted := map[id.ID]bool{}
	for _, v := range list {
		wanted[v.infohash] = true
	}
	var errs []error
	for infohash, one := range a.shared {
		if !wanted[infohash] || one.CanReturn() {
			errs = append(errs, one.Remove(ctx))
			delete(a.shared, infohash)
		}
	}
	wanted[newest] = true
	errs = append(errs, p.folder.dropEarlier(wanted))
	for _, v := range list {
		if a.shared[v.infohash] == nil {
			errs = append(errs, p.share(v))
		}
	}
	if err := errors.Join(errs...); err != nil && ctx.Err() == nil {
		p.warn(fmt.Errorf("earlier versions cannot be shared: %w", err))
	}
}

// shareAgain shares earlier versions again after the torrents for which their Archives gave way have gone.
func (p *Publication) shareAgain() {
	a := &p.archive
	a.mu.Lock()
	isDue := false
	for _, one := range a.shared {
		isDue = isDue || one.CanReturn()
	}
	a.mu.Unlock()
	if isDue {
		p.shareEarlier()
	}
}

// share shares an earlier version; the caller holds archive.mu.
func (p *Publication) share(v earlierVersion) error {
	torrent := p.folder.torrent(&v.Version)
	if torrent == nil {
		return nil
	}
	files := []int{}
	if !p.secret.IsZero() {
		manifest, err := sealedfs.Manifest(p.secret.Keys(), torrent.Info)
		if err != nil {
			return nil // there is nothing that a reader could use
		}
		if _, err := os.Stat(p.folder.earlierPath(torrent.Info, manifest)); err == nil {
			files = append(files, torrent.Info.FileNumber(manifest))
		}
	}
	one, err := p.publisher.node.AddArchive(torrent, p.folder.earlierRoot(v.infohash), files)
	switch {
	case errors.Is(err, node.ErrDuplicate), errors.Is(err, node.ErrLocked):
		return nil
	case err != nil:
		return err
	}
	if p.archive.shared == nil {
		p.archive.shared = map[id.ID]*node.Archive{}
	}
	p.archive.shared[v.infohash] = one
	return nil
}

// endArchive ends the sharing of the earlier versions permanently.
func (p *Publication) endArchive() error {
	a := &p.archive
	a.mu.Lock()
	defer a.mu.Unlock()
	a.isEnded = true
	var errs []error
	for _, one := range a.shared {
		errs = append(errs, one.Remove(p.publisher.ctx))
	}
	a.shared = nil
	return errors.Join(errs...)
}

// earlierVersion is an earlier version that is to be shared.
type earlierVersion struct {
	Version
	infohash id.ID
}

// earlierToShare returns the earlier versions that are to be shared, the newest first, each content once, and
// the infohash of the newest version.
func (p *Publication) earlierToShare() (list []earlierVersion, newest id.ID) {
	versions := p.Versions()
	seen, bytes := map[id.ID]bool{}, int64(0)
	for i := len(versions) - 1; i >= 0 && len(list) < node.MaxEarlier; i-- {
		v := versions[i]
		infohash, err := id.ParseHex(v.InfoHash)
		if err != nil || seen[infohash] {
			continue
		}
		seen[infohash] = true
		if i == len(versions)-1 {
			newest = infohash
			continue
		}
		fi, err := os.Stat(p.folder.torrentPath(v.Seq))
		if err != nil {
			continue
		}
		if bytes += fi.Size(); bytes > node.MaxEarlierBytes {
			break
		}
		list = append(list, earlierVersion{v, infohash})
	}
	return list, newest
}

func (f *folder) earlierDir() string { return filepath.Join(f.path, "earlier") }

// earlierRoot returns the folder that contains the folder of a torrent.
func (f *folder) earlierRoot(infohash id.ID) string {
	return filepath.Join(f.earlierDir(), infohash.String())
}

// earlierPath returns the path of a file of a torrent.
func (f *folder) earlierPath(info *metainfo.Info, file int) string {
	return filepath.Join(f.earlierRoot(info.Hash), filepath.FromSlash(info.PathOf(file)))
}

// keepManifest keeps the manifest of the newest version of a private publication for the time when there is a
// newer one. The caller holds making; the version is on record, and the encrypted copy is that of it.
func (p *Publication) keepManifest(info *metainfo.Info) {
	if p.secret.IsZero() {
		return
	}
	p.archive.mu.Lock()
	defer p.archive.mu.Unlock()
	manifest, err := sealedfs.Manifest(p.secret.Keys(), info)
	if err == nil {
		err = linkOrCopy(filepath.Join(p.folder.sealedDir(), filepath.FromSlash(info.PathOf(manifest))), p.folder.earlierPath(info, manifest), p.folder.earlierDir())
	}
	if err != nil {
		p.warn(fmt.Errorf("the list of files of this version cannot be kept for later: %w", err))
	}
}

// linkOrCopy makes to a second name of the file from, whose content does not change any more, or a copy
// where there are no hard links. If to exists, it has that content. Until a copy is complete, it is in the
// folder temporary, which is on the same file system.
func linkOrCopy(from, to, temporary string) error {
	if _, err := os.Lstat(to); err == nil { // where there are no hard links, Link need not say so
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(to), 0o700); err != nil {
		return err
	}
	if err := os.Link(from, to); err == nil || errors.Is(err, os.ErrExist) {
		return nil
	}
	return copyFile(from, to, temporary)
}

// copyFile copies a file. If it fails or the process is killed, to does not exist.
func copyFile(from, to, temporary string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.CreateTemp(temporary, "copy-")
	if err != nil {
		return err
	}
	_, err = io.Copy(out, in)
	if err == nil {
		err = out.Sync()
	}
	if err = errors.Join(err, out.Close()); err == nil {
		err = os.Rename(out.Name(), to)
	}
	if err != nil {
		os.Remove(out.Name()) // dropEarlier deletes what is left
	}
	return err
}

// dropEarlier deletes the manifests of all versions but those with these infohashes, and incomplete copies. The
// caller holds archive.mu, so that none is being made.
func (f *folder) dropEarlier(except map[id.ID]bool) error {
	all, err := os.ReadDir(f.earlierDir())
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range all {
		if infohash, err := id.ParseHex(e.Name()); err != nil || !except[infohash] {
			errs = append(errs, os.RemoveAll(filepath.Join(f.earlierDir(), e.Name())))
		}
	}
	return errors.Join(errs...)
}
