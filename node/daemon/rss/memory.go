package rss

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"

	"seedbed/internal/statefile"
)

// maxRemembered is how many keys a Memory keeps; it forgets the oldest. This is several
// times the number of items that feeds have at one time.
const maxRemembered = 50_000

// A Memory remembers in a file what was added. It keeps hashes of a fixed size, whatever a feed
// contains. Its methods may be called from any goroutine.
type Memory struct {
	path string

	saving  sync.Mutex // held while the file is written; locked before mu
	mu      sync.Mutex
	keys    []string // oldest first
	isKnown map[string]bool
	isDirty bool
}

// OpenMemory reads the file at path. A file that does not exist remembers nothing.
func OpenMemory(path string) (*Memory, error) {
	m := &Memory{path: path, isKnown: map[string]bool{}}
	b, err := statefile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return m, nil
	}
	if err == nil {
		err = json.Unmarshal(b, &m.keys)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; remove it to read all feeds as if for the first time", path, err)
	}
	for _, k := range m.keys {
		m.isKnown[k] = true
	}
	return m, nil
}

func hashOf(key string) string {
	h := sha256.Sum256([]byte(key))
	return hex.EncodeToString(h[:12])
}

func (m *Memory) has(key string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.isKnown[hashOf(key)]
}

func (m *Memory) add(key string) {
	k := hashOf(key)
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.isKnown[k] {
		return
	}
	m.isKnown[k], m.isDirty = true, true
	m.keys = append(m.keys, k)
	if extra := len(m.keys) - maxRemembered; extra > 0 {
		for _, old := range m.keys[:extra] {
			delete(m.isKnown, old)
		}
		m.keys = slices.Clone(m.keys[extra:])
	}
}

// save saves what was added since the last call.
func (m *Memory) save() error {
	m.saving.Lock()
	defer m.saving.Unlock()
	m.mu.Lock()
	keys, isDirty := slices.Clone(m.keys), m.isDirty
	m.isDirty = false
	m.mu.Unlock()
	if !isDirty {
		return nil
	}
	b, err := json.Marshal(keys)
	if err == nil {
		err = statefile.WriteSync(m.path, b)
	}
	if err != nil {
		m.mu.Lock()
		m.isDirty = true
		m.mu.Unlock()
	}
	return err
}
