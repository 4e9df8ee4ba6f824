package node

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"seedbed/internal/id"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/s3store"
)

// What was downloaded, and is not in the object store yet, is in staging folders on the disk of the cache: one for each torrent.

const (
	// abandonTime is how long the removal of a torrent may wait for the store.
	abandonTime = 10 * time.Second
	// staleAfter is after which time a staging folder that no torrent of the session uses is deleted. Before, a download that was
	// interrupted may go on.
	staleAfter = 30 * 24 * time.Hour
)

// stagingDir returns the staging folder of a torrent.
func (n *Node) stagingDir(hash id.ID) string {
	return filepath.Join(n.cfg.Objects.stagingRoot(), hash.String())
}

func (o *Objects) stagingRoot() string { return filepath.Join(o.Shared.Cache.Dir(), "staging") }

// isStaged reports whether a torrent has something that is not in the store yet.
func (n *Node) isStaged(hash id.ID) bool {
	if n.cfg.Objects == nil {
		return false
	}
	_, err := os.Stat(n.stagingDir(hash))
	return err == nil
}

// removeStaging deletes what is not in the store yet, here and in the store. info is nil if it is not known.
func (t *Torrent) removeStaging(info *metainfo.Info) error {
	o := t.node.cfg.Objects
	if o == nil {
		return nil // another process may have the folder
	}
	dir := t.node.stagingDir(t.hash)
	if info != nil {
		ctx, cancel := context.WithTimeout(context.Background(), abandonTime)
		err := s3store.Abandon(ctx, o.Store, info, dir)
		cancel()
		if err != nil {
			t.emit(Event{Kind: Warning, Err: fmt.Errorf("parts of %s may be left in the store, until a rule of the bucket removes unfinished uploads: %w", t.Name(), err)})
		}
	}
	t.node.handles.Forget(dir)
	return os.RemoveAll(dir)
}

// sweepStaging deletes staging folders that nobody needs: those of finished downloads whose removal a kill has interrupted, and
// old ones of torrents that are not in the session. The cache is ours alone, so no other process writes there.
func (n *Node) sweepStaging(session []id.ID) {
	if n.cfg.Objects == nil {
		return
	}
	keep := map[string]bool{}
	for _, hash := range session {
		keep[hash.String()] = true
	}
	root := n.cfg.Objects.stagingRoot()
	entries, _ := os.ReadDir(root) // without the folder, there is nothing to sweep
	var gone []string
	for _, e := range entries {
		dir := filepath.Join(root, e.Name())
		switch hash, err := id.ParseHex(e.Name()); {
		case err != nil && filepath.Ext(e.Name()) != s3store.DoneSuffix:
			continue
		case err == nil && (keep[e.Name()] || n.lookup(hash) != nil || time.Since(lastChange(dir)) <= staleAfter):
			continue
		case err == nil:
			n.log.Warn("an interrupted download into the store was given up, and is deleted", "dir", dir)
			done := dir + s3store.DoneSuffix // at once, so that a torrent that is added meanwhile starts without it
			if err := os.Rename(dir, done); err != nil {
				n.log.Warn("it cannot be deleted", "err", err)
				continue
			}
			dir = done
		}
		gone = append(gone, dir)
	}
	n.wg.Go(func() {
		for _, dir := range gone {
			if err := os.RemoveAll(dir); err != nil {
				n.log.Warn("cannot delete a download that is in the store", "err", err)
			}
		}
	})
}

// lastChange returns when a folder, or something directly in it, was last changed.
func lastChange(dir string) (last time.Time) {
	note := func(i fs.FileInfo, err error) {
		if err == nil && i.ModTime().After(last) {
			last = i.ModTime()
		}
	}
	note(os.Stat(dir))
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		note(e.Info())
	}
	return last
}
