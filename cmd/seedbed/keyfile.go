package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"

	"seedbed/node/keys"
)

// openKey reads the key file at path; with create it creates the file first.
func openKey(path string, create bool) (ed25519.PrivateKey, error) {
	if create {
		key := keys.New()
		err := keys.Write(path, key)
		if errors.Is(err, fs.ErrExist) {
			return nil, fail(exitExists, "leave out --new-key to use it", fmt.Errorf("%s already exists", path))
		}
		return key, err
	}
	key, err := keys.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail(exitNotFound, "create it with --new-key", err)
	}
	return key, err
}
