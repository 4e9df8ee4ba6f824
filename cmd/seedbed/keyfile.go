package main

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"io/fs"

	"seedbed/node"
)

// openKey reads the key file at path; with make it creates it.
func openKey(path string, make bool) (ed25519.PrivateKey, error) {
	if make {
		key := node.NewKey()
		err := node.WriteKey(path, key)
		if errors.Is(err, fs.ErrExist) {
			return nil, fail(exitExists, "leave out --new-key to use it", fmt.Errorf("%s is there already", path))
		}
		return key, err
	}
	key, err := node.ReadKey(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, fail(exitNotFound, "--new-key makes one", err)
	}
	return key, err
}
