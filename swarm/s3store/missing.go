package s3store

import (
	"context"

	"seedbed/internal/objectstore"
	"seedbed/magnet/metainfo"
)

// Missing looks for the objects of a torrent, without reading them. It returns how many files lack an object of their size, and the
// location of the first one.
func Missing(ctx context.Context, store *objectstore.Store, info *metainfo.Info) (count int, first string, err error) {
	at, err := locate(ctx, store, info)
	if err != nil {
		return 0, "", err
	}
	missing := map[string]int64{} // sizes by the names of the objects
	for i := range info.Files {
		if f := &info.Files[i]; f.IsRegular() && f.Length > 0 {
			missing[at.objectOf(info, i)] = f.Length
		}
	}
	for o, err := range at.existing(ctx, info) {
		if err != nil {
			return 0, "", err
		}
		if size, ok := missing[o.Name]; ok && size == o.Size {
			delete(missing, o.Name)
		}
		if len(missing) == 0 {
			break
		}
	}
	for i := range info.Files {
		if _, ok := missing[at.objectOf(info, i)]; !ok {
			continue
		}
		if count++; count == 1 {
			first = at.location(info.PathOf(i))
		}
	}
	return count, first, nil
}
