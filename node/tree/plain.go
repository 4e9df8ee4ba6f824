package tree

import (
	"context"
	"encoding/hex"
	"strconv"
	"strings"

	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// Open returns the tree of a torrent as its info dictionary names the files. It waits until the
// metadata is known. It returns node.ErrEnded if the torrent ends.
func Open(ctx context.Context, t *node.Torrent) (*Tree, error) {
	select {
	case <-t.Named():
	case <-t.Ended():
		return nil, node.ErrEnded
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
	info := t.Info()
	if info == nil { // it was removed
		return nil, node.ErrEnded
	}
	files, indexes := filesOf(info)
	return New(info.Name, files, func(ctx context.Context, i int) (Reader, error) {
		f, err := t.OpenFile(ctx, indexes[i])
		if err != nil {
			return nil, err // not f, which would be an interface that is not nil
		}
		return f, nil
	})
}

// filesOf returns the files of a torrent and their indexes in Info.Files. A symbolic link to a file
// (BEP 47) is listed as a file with the content of its target. Links to folders are left out.
func filesOf(info *metainfo.Info) (files []File, indexes []int) {
	targets := map[string]int{}
	var links []int
	for i := range info.Files {
		if f := &info.Files[i]; len(f.Symlink) > 0 {
			links = append(links, i)
		}
	}
	for i := range info.Files {
		f := &info.Files[i]
		if !f.IsRegular() {
			continue
		}
		path := strings.Join(f.Path, "/")
		if links != nil {
			targets[path] = i
		}
		files = append(files, File{Path: path, Size: f.Length, Identity: identity(info, i)})
		indexes = append(indexes, i)
	}
	for _, i := range links {
		if k, ok := targets[strings.Join(info.Files[i].Symlink, "/")]; ok {
			files = append(files, File{Path: strings.Join(info.Files[i].Path, "/"), Size: info.Files[k].Length, Identity: identity(info, k)})
			indexes = append(indexes, k)
		}
	}
	return files, indexes
}

// identity returns the identity of a file: its merkle root (BEP 52) or, in a v1 torrent, the
// infohash and the number of the file.
func identity(info *metainfo.Info, i int) string {
	switch f := &info.Files[i]; {
	case f.Length == 0:
		return "empty"
	case info.HasV2():
		return hex.EncodeToString(f.Root[:])
	}
	return info.Hash.String() + "-" + strconv.Itoa(info.FileNumber(i))
}
