package dhtcmd

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"

	"seedbed/cmd/seedbed/exit"
	"seedbed/node/keys"
)

// openKey reads the key file at path; with create it creates the file first.
func openKey(path string, create bool) (ed25519.PrivateKey, error) {
	if create {
		key := keys.New()
		err := keys.Write(path, key)
		if errors.Is(err, fs.ErrExist) {
			return nil, exit.Fail(exit.Exists, "leave out --new-key to use it", fmt.Errorf("%s already exists", path))
		}
		return key, err
	}
	key, err := keys.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, exit.Fail(exit.NotFound, "create it with --new-key", err)
	}
	return key, err
}
