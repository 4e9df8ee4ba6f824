package node

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
)

// A key file holds the 32-byte seed of an ed25519 key as one line of 64 hex
// digits. Whoever can read it can sign in its owner's name: one that others may
// read is refused, and the seed is never part of an error or a log line. Those of
// the state directory are keys/NAME.

// KeyError is a key file that cannot be used.
type KeyError struct {
	Path string
	Err  error
	hint string
}

func (e *KeyError) Error() string { return e.Path + ": " + e.Err.Error() }
func (e *KeyError) Unwrap() error { return e.Err }

// Hint is what to do about it, or "".
func (e *KeyError) Hint() string { return e.hint }

// errNoKey is a file that is not what it should be.
var errNoKey = errors.New("it is no key file: it must hold 64 hex digits and nothing else")

// ReadKey reads a key file.
func ReadKey(path string) (ed25519.PrivateKey, error) {
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
		return nil, keyError(path, "chmod 600 "+path, fmt.Errorf("the key may be read or changed by others (mode %#o): %w", st.Mode().Perm(), fs.ErrPermission))
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return nil, keyError(path, "", err)
	}
	key, err := ParseKey(string(b))
	if err != nil {
		return nil, keyError(path, "", err)
	}
	return key, nil
}

// ParseKey reads the secret of a key: its seed as 64 hex digits, or the seed and the
// public key behind it, as other programs write it.
func ParseKey(s string) (ed25519.PrivateKey, error) {
	b, err := hex.DecodeString(strings.TrimSpace(s))
	switch {
	case err != nil:
		return nil, errNoKey
	case len(b) == ed25519.SeedSize:
		return ed25519.NewKeyFromSeed(b), nil
	case len(b) == ed25519.PrivateKeySize:
		if key := ed25519.NewKeyFromSeed(b[:ed25519.SeedSize]); slices.Equal(key, b) {
			return key, nil
		}
		return nil, errors.New("it holds 128 hex digits, which are not a seed and its public key: an expanded key, as some programs keep it, cannot be used")
	}
	return nil, errNoKey
}

// WriteKey writes a key file, which must not be there yet, readable by its owner
// alone.
func WriteKey(path string, key ed25519.PrivateKey) error {
	if err := statefile.WriteNew(path, []byte(hex.EncodeToString(key.Seed())+"\n")); err != nil {
		return keyError(path, "", err)
	}
	return nil
}

// NewKey makes a key.
func NewKey() ed25519.PrivateKey {
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
	return &KeyError{path, err, hint}
}

// Keys are the keys of a state directory, by name.
type Keys struct{ dir string }

// OpenKeys is the keys of the state directory at path.
func OpenKeys(path string) Keys { return Keys{filepath.Join(path, "keys")} }

// maxKeyName is longer than a name that anybody types.
const maxKeyName = 64

func (k Keys) path(name string) (string, error) {
	bad := func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_.@", r))
	}
	if name == "" || len(name) > maxKeyName || name[0] == '.' || strings.ContainsFunc(name, bad) {
		return "", &Fault{Kind: FaultUsage, Err: fmt.Errorf("%q is no name of a key", name), hint: "use up to 64 letters, digits and the signs - _ . @"}
	}
	return filepath.Join(k.dir, name), nil
}

// Open is the key of that name.
func (k Keys) Open(name string) (ed25519.PrivateKey, error) {
	path, err := k.path(name)
	if err != nil {
		return nil, err
	}
	key, err := ReadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, &Fault{Kind: FaultVanished, Err: fmt.Errorf("there is no key %q", name), hint: "seedbed key new " + name + " makes one, seedbed key list shows those that are there"}
	}
	return key, err
}

// Save keeps a key under a name that is not taken.
func (k Keys) Save(name string, key ed25519.PrivateKey) error {
	path, err := k.path(name)
	if err != nil {
		return err
	}
	if err := statefile.MkdirAll(k.dir); err != nil {
		return err
	}
	err = WriteKey(path, key)
	if errors.Is(err, fs.ErrExist) {
		return &Fault{Kind: FaultExists, Err: fmt.Errorf("there is a key %q already", name), hint: "choose another name; a key that is gone is gone for good, so none is ever replaced"}
	}
	return err
}

// List is the names, in order.
func (k Keys) List() ([]string, error) {
	entries, err := os.ReadDir(k.dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	var names []string
	for _, e := range entries {
		if _, bad := k.path(e.Name()); bad == nil && e.Type().IsRegular() {
			names = append(names, e.Name())
		}
	}
	return names, err
}
