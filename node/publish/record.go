package publish

import (
	"cmp"
	"crypto/ed25519"
	"errors"
	"slices"
	"time"

	"seedbed/dht"
	"seedbed/internal/bencode"
	"seedbed/internal/id"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/magnet/mutable"
	"seedbed/node"
	"seedbed/swarm/create"
)

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
