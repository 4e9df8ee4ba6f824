package gateway

import (
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/hashicorp/golang-lru/v2/simplelru"

	"seedbed/dht"
	"seedbed/internal/id"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/magnet/delegation"
	"seedbed/node"
)

// maxKnown is the number of publications whose newest items are on record. Those that were not written for the
// longest time are deleted.
const maxKnown = 4096

// known has the newest items of publications, in a file each:
//
//	gateway/known/TARGET   the items that count, that of the key in the link first
//
// So a restart does not bring an old version back, which someone may put into the DHT again. It also serves
// the last version at once.
type known struct {
	dir string
	log *slog.Logger

	mu    sync.Mutex
	files *simplelru.LRU[string, [sha256.Size]byte] // by name; the hash of the content that this run has written
}

// knownItem is an item as it is on record.
type knownItem struct {
	Key   string `json:"key"` // in hex
	Seq   int64  `json:"seq"`
	Value []byte `json:"value"`
	Sig   []byte `json:"sig"`
}

func openKnown(dir string, log *slog.Logger) (*known, error) {
	k := &known{dir: dir, log: log}
	if err := statefile.MkdirAll(dir); err != nil {
		return nil, err
	}
	k.files, _ = simplelru.NewLRU(maxKnown, func(name string, _ [sha256.Size]byte) { // the size is valid
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			log.Warn("the record of a publication was not deleted", "target", name, "err", err)
		}
	})
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	type file struct {
		name string
		at   time.Time
	}
	var files []file
	for _, e := range entries {
		if _, err := id.ParseHex(e.Name()); err != nil {
			continue
		}
		if fi, err := e.Info(); err == nil {
			files = append(files, file{e.Name(), fi.ModTime()})
		}
	}
	slices.SortFunc(files, func(a, b file) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.name, b.name)) })
	for _, f := range files {
		k.files.Add(f.name, [sha256.Size]byte{})
	}
	return k, nil
}

// recall lets the items on record count. A damaged record counts as none.
func (k *known) recall(j *delegation.Judge, l *magnet.Link) {
	k.mu.Lock()
	defer k.mu.Unlock()
	b, err := statefile.Read(filepath.Join(k.dir, fileOf(l)))
	if err != nil {
		return
	}
	var items []knownItem
	if json.Unmarshal(b, &items) != nil {
		return
	}
	for _, i := range items {
		key, err := id.ParseHex32(i.Key)
		if err != nil {
			continue
		}
		item := dht.Item{Mutable: true, Key: key, Salt: l.Salt, Seq: i.Seq, Value: i.Value}
		if copy(item.Sig[:], i.Sig); item.IsSigned() {
			_ = j.Offer(node.SignedItem(item), time.Time{}) // one that does not count is left out
		}
	}
}

// save records the items that count.
func (k *known) save(j *delegation.Judge, l *magnet.Link) {
	var items []knownItem
	for _, key := range j.Keys() {
		if i, ok := j.Item(key); ok {
			items = append(items, knownItem{key.String(), i.Seq, i.Value, i.Sig[:]})
		}
	}
	b, err := json.Marshal(items)
	if err != nil {
		panic(err) // it has only numbers and strings
	}
	name, sum := fileOf(l), sha256.Sum256(b)
	k.mu.Lock()
	defer k.mu.Unlock()
	if old, _ := k.files.Get(name); old == sum {
		return
	}
	if err := statefile.Write(filepath.Join(k.dir, name), b); err != nil {
		k.log.Warn("the newest version of a publication cannot be recorded", "err", err)
		return
	}
	k.files.Add(name, sum)
}

// fileOf returns the name of the file of a publication.
func fileOf(l *magnet.Link) string { return dht.ItemTarget(l.PublicKey, l.Salt).String() }
