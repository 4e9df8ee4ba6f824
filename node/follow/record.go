package follow

import (
	"cmp"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"time"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
)

// The state directory has a folder for each followed publication:
//
//	follows/TARGET/lock            held by the process that follows the publication
//	follows/TARGET/record          the publication, and the version that current points to
//	follows/TARGET/FOLDER.torrent  the metadata of each version that is kept

// record is the content of the record file.
type record struct {
	Link      string   `json:"link"`
	Domain    string   `json:"domain,omitempty"`
	Dir       string   `json:"dir"` // absolute
	Peers     []string `json:"peers,omitempty"`
	Poll      string   `json:"poll"` // as time.ParseDuration reads it
	Keep      int      `json:"keep"`
	KeepAlive bool     `json:"keep_alive,omitempty"`
	Owner     string   `json:"owner,omitempty"`
	Stay      *shown   `json:"stay,omitempty"` // an earlier version that stays current
	// Statement is the newest item of the key in the link, if that names other keys or did
	// so before. A lower one never counts again.
	Statement *signedItem `json:"statement,omitempty"`
	current
}

// current is the newest version that was adopted. Seq is 0 if there is none.
type current struct {
	Seq      int64  `json:"seq,omitempty"`
	InfoHash string `json:"infohash,omitempty"`
	Folder   string `json:"folder,omitempty"`
	Value    []byte `json:"value,omitempty"`
	Sig      []byte `json:"sig,omitempty"`
	// Signer is the key that has signed the item, in hex; "" is the key in the link. ItemSeq
	// is the item's number if that is not the version's.
	Signer  string `json:"signer,omitempty"`
	ItemSeq int64  `json:"item_seq,omitempty"`
}

// signedItem is an item of the key in the link.
type signedItem struct {
	Seq   int64  `json:"seq"`
	Value []byte `json:"value"`
	Sig   []byte `json:"sig"`
}

// item returns the signed item of the version.
func (c *current) item(l *magnet.Link) (dht.Item, error) {
	i := dht.Item{Value: c.Value, Mutable: true, Key: l.PublicKey, Salt: l.Salt, Seq: cmp.Or(c.ItemSeq, c.Seq)}
	if c.Signer != "" {
		key, err := id.ParseHex32(c.Signer)
		if err != nil {
			return i, err
		}
		i.Key = key
	}
	if copy(i.Sig[:], c.Sig) != ed25519.SignatureSize {
		return i, errors.New("the record has a version without a signature")
	}
	return i, nil
}

// config returns the Config in the record.
func (r *record) config() (Config, error) {
	link, err := magnet.Parse(r.Link)
	if err != nil {
		return Config{}, err
	}
	poll, err := time.ParseDuration(r.Poll)
	if err != nil {
		return Config{}, err
	}
	return Config{Link: link, Domain: r.Domain, Dir: r.Dir, KeepAlive: r.KeepAlive, Poll: poll, Keep: r.Keep, Peers: r.Peers, Owner: r.Owner}, nil
}

// set stores a Config in the record. It does not change the versions.
func (r *record) set(c *Config, dir string) {
	r.Link, r.Domain, r.Dir, r.Peers = c.Link.String(), c.Domain, dir, c.Peers
	r.Poll, r.Keep, r.KeepAlive, r.Owner = c.Poll.String(), c.Keep, c.KeepAlive, c.Owner
}

// errFollowed is the error if another process follows the same publication.
var errFollowed = node.NewFault(node.FaultConflict, errors.New("another seedbed process with the same state directory is following this"), "stop that process first")

// folder is the locked folder of one followed publication.
type folder struct {
	path string
	lock *statefile.Lock
	file record
}

func followsDir(state string) string { return filepath.Join(state, "follows") }

func openFolder(state string, target id.ID) (*folder, error) {
	f := &folder{path: filepath.Join(followsDir(state), target.String())}
	var err error
	if f.lock, err = node.LockRecord(f.path, errFollowed); err != nil {
		return nil, err
	}
	if f.file, err = readRecord(f.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, errors.Join(err, f.lock.Release())
	}
	return f, nil
}

// damagedAdvice says what to do about a record that cannot be read or that has no link.
const damagedAdvice = "move it away, and run seedbed follow with the link again"

func readRecord(dir string) (r record, err error) {
	_, err = node.ReadRecord(filepath.Join(dir, "record"), &r, damagedAdvice)
	return r, err
}

// save writes a record to disk. The caller then stores it in file.
func (f *folder) save(r *record) error {
	b, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	return statefile.WriteSync(filepath.Join(f.path, "record"), b)
}

// torrentPath returns the path of a version's metadata; name is the version's folder.
func (f *folder) torrentPath(name string) string {
	return filepath.Join(f.path, path.Base(name)+".torrent")
}

// torrent returns the metadata of a version, or nil if it is not saved because the version
// was never current.
func (f *folder) torrent(name string) *metainfo.Info {
	b, err := statefile.Read(f.torrentPath(name))
	if err != nil {
		return nil
	}
	t, err := metainfo.ParseTorrent(b)
	if err != nil {
		return nil
	}
	return t.Info
}

// forget deletes the metadata of all versions except those in except.
func (f *folder) forget(except []string) {
	keep := map[string]bool{}
	for _, name := range except {
		keep[f.torrentPath(name)] = true
	}
	saved, _ := filepath.Glob(filepath.Join(f.path, "*.torrent"))
	for _, p := range saved {
		if !keep[p] {
			os.Remove(p)
		}
	}
}

func (f *folder) close() error { return f.lock.Release() }

// remove deletes the folder and releases the lock.
func (f *folder) remove() error { return errors.Join(os.RemoveAll(f.path), f.close()) }
