// Package token keeps the tokens that give access to a daemon's HTTP interfaces.
//
// A token is a random text that a client sends with every request. It has a scope, which says
// what the client may do. The text of a token is returned once, when it is created. The file keeps
// only its SHA-256 hash, so that the file gives no access.
//
// One process at a time has a Store open: the daemon, or a command while no daemon runs.
package token

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"seedbed/internal/statefile"
)

// A Scope says what the holder of a token may do. Each scope includes the ones before it.
type Scope uint8

const (
	None  Scope = iota // nothing
	Read               // see torrents, publications and the state of the node
	Add                // also add, change, pause and resume torrents, and follow publications; not delete or overwrite files
	Admin              // everything
)

var scopeNames = []string{"none", "read", "add", "admin"}

// String returns the name of the scope.
func (s Scope) String() string { return scopeNames[s] }

// ParseScope returns the scope with that name.
func ParseScope(name string) (Scope, error) {
	if i := slices.Index(scopeNames, name); i > int(None) {
		return Scope(i), nil
	}
	return None, fmt.Errorf("%q is not a scope: read, add or admin", name)
}

// MarshalText implements encoding.TextMarshaler.
func (s Scope) MarshalText() ([]byte, error) { return []byte(s.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (s *Scope) UnmarshalText(b []byte) (err error) {
	*s, err = ParseScope(string(b))
	return err
}

// A Token is what a Store knows of a token.
type Token struct {
	ID      string    `json:"id"` // 8 hex digits; names the token in lists and for Revoke
	Name    string    `json:"name,omitempty"`
	Scope   Scope     `json:"scope"`
	Created time.Time `json:"created"`
}

// A Hash is the SHA-256 hash of the text of a token. It names the token, but gives no access.
type Hash = [sha256.Size]byte

// HashOf returns the hash of the text of a token.
func HashOf(text string) Hash { return sha256.Sum256([]byte(text)) }

// saved is a token in the file.
type saved struct {
	Token
	Hash string `json:"sha256"` // of the text, in hex
}

// prefix begins the text of every token, so that people and programs recognise one.
const prefix = "sbt_"

// maxTokens limits the tokens of a store.
const maxTokens = 1000

var (
	// ErrUnknown is returned by Revoke for an id or a name that no token has.
	ErrUnknown = errors.New("there is no such token")
	// ErrTooMany is returned by New when the store holds 1,000 tokens.
	ErrTooMany = errors.New("there are 1,000 tokens; revoke some first")
)

// A Store holds the tokens of a state directory. Its methods may be called from any goroutine.
// Check and List never wait for the disk.
type Store struct {
	path     string
	lock     *statefile.Lock
	changing sync.Mutex // held by New and Revoke
	tokens   atomic.Pointer[tokens]
}

// tokens are the tokens of a Store at one moment. They are never changed.
type tokens struct {
	list   []saved
	byHash map[Hash]Token
}

// Open reads the tokens in the file at path, in a folder that exists. A file that does not exist
// holds none. It returns statefile.ErrLocked if another process has it open.
func Open(path string) (_ *Store, err error) {
	s := &Store{path: path}
	if s.lock, err = statefile.TryLock(path + ".lock"); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.lock.Release())
		}
	}()
	var list []saved
	b, err := statefile.Read(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	if err == nil {
		err = json.Unmarshal(b, &list)
	} else {
		err = nil
	}
	var t *tokens
	if err == nil {
		t, err = newTokens(list)
	}
	if err != nil {
		return nil, fmt.Errorf("%s is damaged: %w; remove it to revoke all tokens", path, err)
	}
	s.tokens.Store(t)
	return s, nil
}

// Close lets other processes open the store.
func (s *Store) Close() error { return s.lock.Release() }

func newTokens(list []saved) (*tokens, error) {
	t := &tokens{list, make(map[Hash]Token, len(list))}
	for _, k := range list {
		h, err := hex.DecodeString(k.Hash)
		if err != nil || len(h) != sha256.Size || k.Scope == None {
			return nil, fmt.Errorf("token %q has no valid hash or scope", k.ID)
		}
		t.byHash[Hash(h)] = k.Token
	}
	return t, nil
}

// New makes a token and saves it. The text is returned only here.
func (s *Store) New(name string, scope Scope) (text string, t Token, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	list := s.tokens.Load().list
	if len(list) >= maxTokens {
		return "", t, ErrTooMany
	}
	var secret [24]byte
	rand.Read(secret[:])
	text = prefix + base64.RawURLEncoding.EncodeToString(secret[:])
	hash := HashOf(text)
	t = Token{ID: hex.EncodeToString(hash[:4]), Name: name, Scope: scope, Created: time.Now().UTC().Truncate(time.Second)}
	if err := s.replace(append(slices.Clone(list), saved{t, hex.EncodeToString(hash[:])})); err != nil {
		return "", Token{}, err
	}
	return text, t, nil
}

// Revoke removes the token with that id, or all tokens with that name, and returns them.
func (s *Store) Revoke(which string) (revoked []Token, err error) {
	s.changing.Lock()
	defer s.changing.Unlock()
	left := slices.DeleteFunc(slices.Clone(s.tokens.Load().list), func(t saved) bool {
		gone := t.ID == which || t.Name != "" && t.Name == which
		if gone {
			revoked = append(revoked, t.Token)
		}
		return gone
	})
	if len(revoked) == 0 {
		return nil, ErrUnknown
	}
	if err := s.replace(left); err != nil {
		return nil, err
	}
	return revoked, nil
}

// replace saves a new list. changing is held.
func (s *Store) replace(list []saved) error {
	t, err := newTokens(list)
	if err != nil {
		return err
	}
	b, err := json.MarshalIndent(list, "", " ")
	if err != nil {
		return err
	}
	if err := statefile.WriteSync(s.path, append(b, '\n')); err != nil {
		return err
	}
	s.tokens.Store(t)
	return nil
}

// List returns the tokens, oldest first.
func (s *Store) List() []Token {
	list := []Token{}
	for _, t := range s.tokens.Load().list {
		list = append(list, t.Token)
	}
	return list
}

// Check returns the token with that text. It compares hashes, so the time that it takes says
// nothing about the texts.
func (s *Store) Check(text string) (Token, bool) { return s.CheckHash(HashOf(text)) }

// CheckHash returns the token whose text has that hash. The hash must be one of our own records: whoever
// sends a request must know the text.
func (s *Store) CheckHash(h Hash) (Token, bool) {
	t, ok := s.tokens.Load().byHash[h]
	return t, ok
}
