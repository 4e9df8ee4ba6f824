package publish

import (
	"bytes"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/swarm/create"
)

// The state directory has a folder for each publication, which is a key and a salt:
//
//	publications/TARGET/lock      held by the process that publishes it
//	publications/TARGET/record    every version with its signed item
//	publications/TARGET/N.torrent the torrent of version N
//	publications/TARGET/stamps    size and time of the files of the newest version
//	publications/TARGET/data/HASH data that a rollback downloaded, by infohash
//
// TARGET is that of the item under the key and the salt. A private publication has its item
// elsewhere (private.go).
//
// The record is written to disk before its newest item is put. So a crash or power loss
// never leads to two values with the same number.

// maxVersions is the maximum length of the history. The oldest versions are dropped.
const maxVersions = 1000

// errPublished is the error if another process publishes under the same key and salt.
var errPublished = node.NewFault(node.FaultConflict, errors.New("another seedbed process with the same state directory is publishing this"),
	"stop that process first")

// publicationsDir returns the folder of all publications of a state directory.
func publicationsDir(state string) string { return filepath.Join(state, "publications") }

// folder is the locked folder of one publication.
type folder struct {
	path string
	lock *statefile.Lock
	file record
	disk []byte // the record as it is on disk
}

func openFolder(state string, target id.ID) (*folder, error) {
	f := &folder{path: filepath.Join(publicationsDir(state), target.String())}
	var err error
	if f.lock, err = node.LockRecord(f.path, errPublished); err != nil {
		return nil, err
	}
	if f.file, f.disk, err = readRecord(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, f.close())
	}
	return f, nil
}

// readRecord reads a record. A damaged record must not count as a missing one, because its
// numbers would then be used again for other values.
func readRecord(dir string) (r record, raw []byte, err error) {
	path := filepath.Join(dir, "record")
	raw, err = node.ReadRecord(path, &r, damagedAdvice)
	return r, raw, err
}

// damagedAdvice says what to do about a damaged record.
const damagedAdvice = "move it away; publishing then continues after the version in the DHT"

func (f *folder) close() error { return f.lock.Release() }

// remove deletes the folder and releases the lock.
func (f *folder) remove() error { return errors.Join(os.RemoveAll(f.path), f.close()) }

func (f *folder) torrentPath(seq int64) string {
	return filepath.Join(f.path, strconv.FormatInt(seq, 10)+".torrent")
}

// dataDir returns the download folder for a torrent whose data is not at the path.
func (f *folder) dataDir(info *metainfo.Info) string {
	return filepath.Join(f.path, "data", info.Hash.String())
}

// dropData deletes the download folders of torrents that are not in use.
func (f *folder) dropData(inUse func(infohash id.ID) bool) error {
	all, err := os.ReadDir(filepath.Join(f.path, "data"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	errs := []error{err}
	for _, e := range all {
		if infohash, err := id.ParseHex(e.Name()); err != nil || !inUse(infohash) {
			errs = append(errs, os.RemoveAll(filepath.Join(f.path, "data", e.Name())))
		}
	}
	return errors.Join(errs...)
}

// add saves the record with a new version, and the version's torrent. It returns the
// resulting versions, which the caller stores in file.
func (f *folder) add(v Version, torrent *metainfo.Torrent) ([]Version, error) {
	if err := f.writeTorrent(v.Seq, torrent); err != nil {
		return nil, err
	}
	next := f.file
	next.Versions = append(slices.Clone(f.file.Versions), v)
	old := next.Versions[:max(len(next.Versions)-maxVersions, 0)]
	next.Versions = next.Versions[len(old):]
	if err := f.save(&next); err != nil {
		return nil, err
	}
	for _, v := range old {
		os.Remove(f.torrentPath(v.Seq))
	}
	return next.Versions, nil
}

func (f *folder) writeTorrent(seq int64, torrent *metainfo.Torrent) error {
	return statefile.WriteSync(f.torrentPath(seq), torrent.Append(nil))
}

// keepTorrent stores the torrent of the newest version, which another publisher may have made, or this one before it was
// killed.
func (f *folder) keepTorrent(torrent *metainfo.Torrent) error {
	v := f.file.last()
	if f.torrent(v) != nil {
		return nil
	}
	return f.writeTorrent(v.Seq, torrent)
}

// save writes a record if it differs from the one on disk.
func (f *folder) save(r *record) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil || bytes.Equal(b, f.disk) {
		return err
	}
	if err := statefile.WriteSync(filepath.Join(f.path, "record"), b); err != nil {
		return err
	}
	f.disk = b
	return nil
}

// torrent returns the torrent of a version, or nil if it is no longer on disk.
func (f *folder) torrent(v *Version) *metainfo.Torrent {
	b, err := statefile.Read(f.torrentPath(v.Seq))
	if err != nil {
		return nil
	}
	t, err := metainfo.ParseTorrent(b)
	if err != nil || !v.isTorrent(t.Info) {
		return nil
	}
	return t
}

// anyTorrent returns the torrent of a version, also if it is on disk only as that of another version with the same content.
func (f *folder) anyTorrent(v *Version) *metainfo.Torrent {
	for _, other := range slices.Backward(f.file.Versions) {
		if other.InfoHash != v.InfoHash || other.InfoHashV2 != v.InfoHashV2 {
			continue
		}
		if t := f.torrent(&other); t != nil {
			return t
		}
	}
	return nil
}

// stamps is the content of the stamps file.
type stamps struct {
	Path     string         `json:"path"`
	InfoHash string         `json:"infohash"`
	Stamps   []create.Stamp `json:"stamps"`
}

// before returns the version that was made last with the stamps of its files, so that only changed files
// are hashed. It returns nil if there are no stamps.
func (f *folder) before() *create.Made {
	b, err := statefile.Read(filepath.Join(f.path, "stamps"))
	var s stamps
	if err != nil || json.Unmarshal(b, &s) != nil || s.Path != f.file.Path {
		return nil
	}
	// Not always the newest: another publisher may have published since then.
	at := slices.IndexFunc(f.file.Versions, func(v Version) bool { return v.InfoHash == s.InfoHash })
	if at < 0 {
		return nil
	}
	t := f.anyTorrent(&f.file.Versions[at])
	if t == nil || len(s.Stamps) != len(t.Info.Files) {
		return nil
	}
	return &create.Made{Info: t.Info, Stamps: s.Stamps}
}

// saveStamps saves the stamps of the newest version's files. Without stamps, all files are
// hashed again next time.
func (f *folder) saveStamps(made *create.Made) error {
	b, err := json.Marshal(stamps{f.file.Path, made.Info.Hash.String(), made.Stamps})
	if err != nil {
		return err
	}
	return statefile.Write(filepath.Join(f.path, "stamps"), b)
}
