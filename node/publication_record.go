package node

import (
	"bytes"
	"crypto/ed25519"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet/metainfo"
	"seedbed/swarm/create"
)

// What is published under a key and a salt is remembered in the state directory:
//
//	publications/TARGET/lock      held by the process that publishes it
//	publications/TARGET/record    every version with its signed item
//	publications/TARGET/N.torrent the torrent of version N
//	publications/TARGET/stamps    what the files were like when the latest was made
//
// The record is on the disk before its newest item is put: a number is given to one
// value only, whatever happens to the process or the power.

// Version is one version of a publication.
type Version struct {
	Seq        int64     `json:"seq"`
	InfoHash   string    `json:"infohash"` // as the item has it
	InfoHashV2 string    `json:"infohash_v2,omitempty"`
	Name       string    `json:"name"`
	Size       int64     `json:"size"`
	Files      int       `json:"files"`
	Time       time.Time `json:"time"` // when it was signed
	Value      []byte    `json:"value"`
	Sig        []byte    `json:"sig"`
}

// publicationFile is the record.
type publicationFile struct {
	Key     string        `json:"key"` // public
	KeyName string        `json:"key_name"`
	Salt    []byte        `json:"salt,omitempty"`
	Path    string        `json:"path"`
	Options recordOptions `json:"options"`
	// RolledBack says that the newest version is an old content, which the path need
	// not hold.
	RolledBack bool      `json:"rolled_back,omitempty"`
	Versions   []Version `json:"versions"` // ascending
}

// recordOptions are what of ShareOptions makes the infohash.
type recordOptions struct {
	Format       metainfo.Format `json:"format"`
	PieceLength  int64           `json:"piece_length,omitempty"`
	Private      bool            `json:"private,omitempty"`
	Source       string          `json:"source,omitempty"`
	NoAttributes bool            `json:"no_attributes,omitempty"`
	Odd          create.Odd      `json:"odd"`
}

func recorded(o ShareOptions) recordOptions {
	return recordOptions{o.Format, o.PieceLength, o.Private, o.Source, o.NoAttributes, o.Odd}
}

func (r recordOptions) share() ShareOptions {
	return ShareOptions{Format: r.Format, PieceLength: r.PieceLength, Private: r.Private, Source: r.Source, NoAttributes: r.NoAttributes, Odd: r.Odd}
}

// maxVersions bounds the history: beyond, the oldest are forgotten.
const maxVersions = 1000

// publicationState is a publication's folder in the state directory, locked.
type publicationState struct {
	path string
	lock *statefile.Lock
	file publicationFile
}

// errPublished is a publication that another process keeps.
var errPublished = &Fault{Kind: FaultConflict, Err: errors.New("another seedbed process with the same state directory publishes this"),
	hint: "stop that process first; it goes on publishing what it began with"}

func (s *stateDir) openPublication(target id.ID) (*publicationState, error) {
	p := &publicationState{path: filepath.Join(s.path, "publications", target.String())}
	var err error
	if p.lock, err = lockFolder(p.path, errPublished); err != nil {
		return nil, err
	}
	if p.file, err = readPublication(p.path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, errors.Join(err, p.close())
	}
	return p, nil
}

// readPublication reads a record. One that is damaged is no record that is absent:
// its numbers must not be given again.
func readPublication(dir string) (f publicationFile, err error) {
	path := filepath.Join(dir, "record")
	b, err := statefile.Read(path)
	if err != nil {
		return f, err
	}
	if err := json.Unmarshal(b, &f); err != nil {
		return f, &Fault{Kind: FaultIO, Err: fmt.Errorf("%s is damaged: %w", path, err),
			hint: "move it away to begin anew with the number that the DHT has"}
	}
	return f, nil
}

func (p *publicationState) close() error { return p.lock.Release() }

func (p *publicationState) torrentPath(seq int64) string {
	return filepath.Join(p.path, strconv.FormatInt(seq, 10)+".torrent")
}

func (p *publicationState) last() *Version {
	if len(p.file.Versions) == 0 {
		return nil
	}
	return &p.file.Versions[len(p.file.Versions)-1]
}

// add makes a version last before it is put.
func (p *publicationState) add(v Version, torrent *metainfo.Torrent) error {
	if err := statefile.WriteSync(p.torrentPath(v.Seq), torrent.Append(nil)); err != nil {
		return err
	}
	p.file.Versions = append(p.file.Versions, v)
	for len(p.file.Versions) > maxVersions {
		os.Remove(p.torrentPath(p.file.Versions[0].Seq))
		p.file.Versions = p.file.Versions[1:]
	}
	return p.save()
}

func (p *publicationState) save() error {
	b, err := json.MarshalIndent(p.file, "", " ")
	if err != nil {
		return err
	}
	return statefile.WriteSync(filepath.Join(p.path, "record"), b)
}

// torrent is the torrent of a version, or nil if it is not there any more.
func (p *publicationState) torrent(v *Version) *metainfo.Torrent {
	t := readTorrent(p.torrentPath(v.Seq))
	if t == nil || t.Info.Hash.String() != v.InfoHash {
		return nil
	}
	return t
}

// before is what the latest version's files were like, to hash only what is not so
// any more.
func (p *publicationState) before() *create.Made {
	v := p.last()
	if v == nil {
		return nil
	}
	t := p.torrent(v)
	if t == nil {
		return nil
	}
	b, err := statefile.Read(filepath.Join(p.path, "stamps"))
	var f stampsFile
	if err != nil || json.Unmarshal(b, &f) != nil || f.Path != p.file.Path || f.InfoHash != v.InfoHash || len(f.Stamps) != len(t.Info.Files) {
		return nil
	}
	return &create.Made{Info: t.Info, Stamps: f.Stamps}
}

type stampsFile struct {
	Path     string         `json:"path"`
	InfoHash string         `json:"infohash"`
	Stamps   []create.Stamp `json:"stamps"`
}

// keepStamps saves what the files of the latest version are like. Without it they
// are hashed again, and that is all.
func (p *publicationState) keepStamps(made *create.Made) error {
	b, err := json.Marshal(stampsFile{p.file.Path, made.Info.Hash.String(), made.Stamps})
	if err != nil {
		return err
	}
	return statefile.Write(filepath.Join(p.path, "stamps"), b)
}

// item is the signed item of a version.
func (f *publicationFile) item(v *Version) (DHTItem, error) {
	i := DHTItem{Value: v.Value, Mutable: true, Salt: f.Salt, Seq: v.Seq}
	key, err := id.ParseHex32(f.Key)
	if err != nil || copy(i.Sig[:], v.Sig) != ed25519.SignatureSize {
		return i, errors.New("the record of a publication has a version without a signature")
	}
	i.Key = key
	return i, nil
}

// Published is one publication of a state directory.
type Published struct {
	Key      string // public, in hex
	KeyName  string
	Salt     string
	Path     string
	Link     string
	Versions []Version // ascending
}

// Publications are all that a state directory has published under keys, in the order
// of their keys' names.
func Publications(state string) ([]Published, error) {
	entries, err := os.ReadDir(filepath.Join(state, "publications"))
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []Published
	for _, e := range entries {
		f, err := readPublication(filepath.Join(state, "publications", e.Name()))
		if errors.Is(err, os.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		key, err := id.ParseHex32(f.Key)
		if err != nil || len(f.Versions) == 0 {
			continue
		}
		name := f.Versions[len(f.Versions)-1].Name
		out = append(out, Published{Key: f.Key, KeyName: f.KeyName, Salt: string(f.Salt), Path: f.Path,
			Link: linkOfKey(key, f.Salt, name).String(), Versions: f.Versions})
	}
	slices.SortFunc(out, func(a, b Published) int {
		return bytes.Compare([]byte(a.KeyName+"\x00"+a.Salt), []byte(b.KeyName+"\x00"+b.Salt))
	})
	return out, nil
}
