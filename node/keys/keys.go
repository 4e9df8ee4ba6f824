// Package keys reads, writes and lists the signing keys of a state directory.
//
// A key file holds the 32-byte seed of an ed25519 key as one line of 64 hex digits. Anyone
// who can read the file can publish under the key. So a file that other users can read is
// refused, and a seed never appears in an error or in the log. The keys of a state
// directory are the files keys/NAME; existing files are never overwritten.
package keys

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"

	"seedbed/internal/statefile"
	"seedbed/node"
)

// Error reports a key file that cannot be used.
type Error struct {
	Path string
	Err  error
	hint string
}

func (e *Error) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *Error) Unwrap() error { return e.Err }

// Hint returns what to do about the error, or "".
func (e *Error) Hint() string { return e.hint }

// errNotAKey is the error for a file that does not contain a key.
var errNotAKey = errors.New("not a key file: it must contain 64 hex digits and nothing else")

// maxKeyFile is the maximum number of bytes that are read of a key file.
const maxKeyFile = 1 << 10

// Read reads a key file. If it cannot be read, contains no key, or other users can access
// it, the error is an *Error.
func Read(path string) (ed25519.PrivateKey, error) {
	f, err := statefile.Open(path)
	if err != nil {
		return nil, keyError(path, "", err)
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, keyError(path, "", err)
	}
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 {
		return nil, keyError(path, "chmod 600 "+path,
			fmt.Errorf("other users can read or change the key (mode %#o): %w", st.Mode().Perm(), fs.ErrPermission))
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, keyError(path, "", err)
	}
	key, err := Parse(string(b))
	if err != nil {
		return nil, keyError(path, "", err)
	}
	return key, nil
}

// Parse reads the secret of a key: its seed as 64 hex digits, or the seed followed by
// the public key as 128 hex digits, which other programs write.
func Parse(s string) (ed25519.PrivateKey, error) {
	b, err := hex.DecodeString(strings.TrimSpace(s))
	switch {
	case err != nil:
		return nil, errNotAKey
	case len(b) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(b), nil
	case len(b) == ed25519.PrivateKeySize:
		if key := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize]); slices.Equal(key, b) {
			return key, nil
		}
		return nil, errors.New("the 128 hex digits are not a seed and its public key; expanded keys, which some programs store, are not supported")
	}
	return nil, errNotAKey
}

// Write creates a key file that only its owner can read. It returns an error if the file
// exists.
func Write(path string, key ed25519.PrivateKey) error {
	if err := statefile.WriteNew(path, []byte(hex.EncodeToString(key.Seed())+"\n")); err != nil {
		return keyError(path, "", err)
	}
	return nil
}

// New generates a key.
func New() ed25519.PrivateKey {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	return ed25519.NewKeyFromSeed(seed)
}

func keyError(path, hint string, err error) error {
	var pe *fs.PathError
	var special *statefile.NotRegularError
	switch {
	case errors.As(err, &pe):
		err = pe.Err
	case errors.As(err, &special):
		err, hint = errors.New("it "+special.Reason()), "give the path of a key file"
	}
	return &Error{path, err, hint}
}

// Store has the keys of a state directory, by name.
type Store struct{ dir string }

// Open returns the keys of the state directory at path.
func Open(path string) Store { return Store{filepath.Join(path, "keys")} }

// maxName is the maximum length of a name in bytes.
const maxName = 64

func (s Store) path(name string) (string, error) {
	isBad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.@", r))
	}
	if name == "" || len(name) > maxName || name[0] == '.' || strings.ContainsFunc(name, isBad) {
		return "", node.NewFault(node.FaultUsage, fmt.Errorf("%q is not a valid key name", name), "use up to 64 letters, digits and the signs - _ . @")
	}
	return filepath.Join(s.dir, name), nil
}

// Key returns the key with the given name.
func (s Store) Key(name string) (ed25519.PrivateKey, error) {
	path, err := s.path(name)
	if err != nil {
		return nil, err
	}
	key, err := Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, node.NewFault(node.FaultVanished, fmt.Errorf("there is no key %q", name),
			"create it with seedbed key new "+name+", or list the existing keys with seedbed key list")
	}
	return key, err
}

// Save stores a key under an unused name.
func (s Store) Save(name string, key ed25519.PrivateKey) error {
	path, err := s.path(name)
	if err != nil {
		return err
	}
	if err := statefile.MkdirAll(s.dir); err != nil {
		return err
	}
	err = Write(path, key)
	if errors.Is(err, fs.ErrExist) {
		return node.NewFault(node.FaultExists, fmt.Errorf("the key %q already exists", name),
			"choose another name; keys are never overwritten, because a lost key cannot be recovered")
	}
	return err
}

// List returns the names of the keys, sorted.
func (s Store) List() ([]string, error) {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if _, bad := s.path(e.Name()); bad == nil && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}
