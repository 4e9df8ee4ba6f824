package publish

import (
	"bytes"
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
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

// Version is one version of a publication.
type Version struct {
	Seq        int64     `json:"seq"`
	InfoHash   string    `json:"infohash"` // the infohash in the item
	InfoHashV2 string    `json:"infohash_v2,omitempty"`
	Name       string    `json:"name"`
	Size       int64     `json:"size"`
	Files      int       `json:"files"`
	Time       time.Time `json:"time"` // when it was signed
	Value      []byte    `json:"value"`
	Sig        []byte    `json:"sig"`
	// Other says that another publisher has published it, through the object store.
	Other bool `json:"other,omitempty"`
}

// isTorrent reports whether the version is the torrent with this info dictionary.
func (v *Version) isTorrent(info *metainfo.Info) bool {
	return v != nil && v.InfoHash == info.Hash.String() && v.InfoHashV2 == hexV2(info)
}

func hexV2(i *metainfo.Info) string {
	if !i.HasV2() {
		return ""
	}
	return i.HashV2.String()
}

// record is the content of the record file.
type record struct {
	Key     string `json:"key"` // public; the user's
	KeyName string `json:"key_name"`
	// Master is the key in the link, if its owner has delegated the publication to Key.
	Master  string  `json:"master,omitempty"`
	Salt    []byte  `json:"salt,omitempty"`
	Path    string  `json:"path"`
	Options options `json:"options"`
	// Secret is the secret to read a private publication, and ItemKey the public key that
	// follows from it and signs the items. Both are "" for a public one.
	Secret  string `json:"secret,omitempty"`
	ItemKey string `json:"item_key,omitempty"`
	// WebSeeds has the HTTP mirrors in the link.
	WebSeeds []string `json:"web_seeds,omitempty"`
	// StoreSeed is the URL of the objects that are published, if everybody can read them. It is in the link too, unless NoStoreSeed is
	// set.
	StoreSeed   string `json:"store_seed,omitempty"`
	NoStoreSeed bool   `json:"no_store_seed,omitempty"`
	// RolledBack says that the newest version is a rollback, so the path may not contain
	// it.
	RolledBack bool `json:"rolled_back,omitempty"`
	// Watch is the interval at which the path is watched, or 0.
	Watch time.Duration `json:"watch_ns,omitempty"`
	// Ended says that it is no longer published, and that the history was kept.
	Ended    bool      `json:"ended,omitempty"`
	Versions []Version `json:"versions"` // ascending
}

// options has the options of node.ShareOptions that affect the infohash.
type options struct {
	Format       metainfo.Format `json:"format"`
	PieceLength  int64           `json:"piece_length,omitempty"`
	Private      bool            `json:"private,omitempty"`
	Source       string          `json:"source,omitempty"`
	NoAttributes bool            `json:"no_attributes,omitempty"`
	Rules        create.Rules    `json:"odd"`
}

func optionsOf(o node.ShareOptions) options {
	return options{o.Format, o.PieceLength, o.Private, o.Source, o.NoAttributes, o.Rules}
}

func (o options) share() node.ShareOptions {
	return node.ShareOptions{Format: o.Format, PieceLength: o.PieceLength, Private: o.Private, Source: o.Source, NoAttributes: o.NoAttributes, Rules: o.Rules}
}

// last returns the newest version, or nil if there is none.
func (r *record) last() *Version {
	if len(r.Versions) == 0 {
		return nil
	}
	return &r.Versions[len(r.Versions)-1]
}

// earlier returns the versions for the history of the next one.
func (r *record) earlier() (list []mutable.Earlier) {
	for _, v := range slices.Backward(r.Versions) {
		if infohash, err := id.ParseHex(v.InfoHash); err == nil {
			list = append(list, mutable.Earlier{Seq: v.Seq, InfoHash: infohash, Time: v.Time})
		}
	}
	return list
}

// webSeeds returns the HTTP mirrors in the link.
func (r *record) webSeeds() []string {
	if r.StoreSeed == "" || r.NoStoreSeed || slices.Contains(r.WebSeeds, r.StoreSeed) {
		return r.WebSeeds
	}
	return append(slices.Clip(r.WebSeeds), r.StoreSeed)
}

// link returns the link that followers open.
func (r *record) link() (*magnet.Link, error) {
	key, err := id.ParseHex32(cmp.Or(r.ItemKey, r.Master, r.Key))
	if err != nil {
		return nil, err
	}
	secret, err := r.secret()
	if err != nil {
		return nil, err
	}
	name := ""
	if v := r.last(); v != nil {
		name = v.Name
	}
	l := mutable.Link(key, r.Salt, name)
	l.WebSeeds = r.webSeeds()
	if !secret.IsZero() {
		l = l.WithSecret(secret)
	}
	return l, nil
}

// read reads the value of an item of the publication.
func (r *record) read(v bencode.Value) (mutable.Version, error) {
	l, err := r.link()
	if err != nil {
		return mutable.Version{}, err
	}
	return mutable.Read(l, v)
}

// item returns the signed item of a version.
func (r *record) item(v *Version) (dht.Item, error) {
	i := dht.Item{Value: v.Value, Mutable: true, Seq: v.Seq}
	l, err := r.link()
	if err != nil || copy(i.Sig[:], v.Sig) != ed25519.SignatureSize {
		return i, errors.New("the record of a publication has a version without a signature")
	}
	key, err := id.ParseHex32(cmp.Or(r.ItemKey, r.Key)) // not Master, which is in the link
	i.Key, i.Salt = key, l.Salt
	return i, err
}

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

// Published is one publication of a state directory.
type Published struct {
	Target     id.ID  // of its item in the DHT
	ItemSalt   []byte // of its item
	Place      id.ID  // identifies it on this machine: the target of the item under Key and Salt, also of a private one
	Private    bool
	Key        string // the user's, public, in hex
	KeyName    string
	Master     string // public, in hex: the key in the link, if that is another one
	Salt       string
	Path       string
	Link       string
	KeepLink   string        // of a private publication: keeps it alive without reading it
	Watch      time.Duration // interval at which the path is watched, or 0
	RolledBack bool          // the newest version is an earlier one
	Ended      bool          // it is no longer published, and its history was kept
	Versions   []Version     // ascending
}

// describe returns the publication of a record.
func (r *record) describe() (Published, error) {
	key, err := id.ParseHex32(r.Key)
	if err != nil {
		return Published{}, err
	}
	link, err := r.link()
	if err != nil {
		return Published{}, err
	}
	place, keep := dht.ItemTarget(key, r.Salt), ""
	target := place
	if link.IsPrivate() {
		target, keep = dht.ItemTarget(link.PublicKey, link.Salt), link.ToKeep().String()
	}
	return Published{Target: target, ItemSalt: link.Salt, Place: place, Private: link.IsPrivate(), KeepLink: keep, Key: r.Key, KeyName: r.KeyName, Master: r.Master, Salt: string(r.Salt), Path: r.Path, Link: link.String(),
		Watch: r.Watch, RolledBack: r.RolledBack, Ended: r.Ended, Versions: slices.Clone(r.Versions)}, nil
}

// List returns the publications of a state directory, sorted by key name and salt. Its error
// joins a *node.DamagedError for each unreadable record; the others are still returned.
func List(state string) (list []Published, err error) {
	folders, err := node.RecordFolders(publicationsDir(state))
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, dir := range folders {
		r, _, err := readRecord(dir)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			errs = append(errs, err)
			continue
		}
		p, err := r.describe()
		if err != nil {
			errs = append(errs, &node.DamagedError{Path: filepath.Join(dir, "record"), Err: err, Advice: damagedAdvice})
			continue
		}
		if len(p.Versions) > 0 {
			list = append(list, p)
		}
	}
	slices.SortFunc(list, func(a, b Published) int {
		return cmp.Or(cmp.Compare(a.KeyName, b.KeyName), cmp.Compare(a.Salt, b.Salt))
	})
	return list, errors.Join(errs...)
}
