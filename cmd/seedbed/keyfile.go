package main

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"runtime"
	"strings"
)

// A key file holds the 32-byte seed of an ed25519 key as one line of 64 hex
// digits. Whoever can read it can sign in its owner's name: one that others may
// read is refused, and the seed is never printed.

// openKey reads the key file at path; with make it creates it.
func openKey(path string, make bool) (ed25519.PrivateKey, error) {
	if make {
		return newKey(path)
	}
	f, err := os.Open(path)
	if err != nil {
		hint := ""
		if errors.Is(err, fs.ErrNotExist) {
			hint = "--new-key makes one"
		}
		return nil, fail(codeOf(err), hint, describePathError(path, err))
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, describePathError(path, err)
	}
	if !st.Mode().IsRegular() {
		return nil, fail(exitUsage, "give the path of a key file", fmt.Errorf("%s is no regular file", path))
	}
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 {
		return nil, fail(exitOpen, "chmod 600 "+path, fmt.Errorf("the key in %s may be read or changed by others (mode %#o)", path, st.Mode().Perm()))
	}
	b, err := io.ReadAll(io.LimitReader(f, 1<<10))
	if err != nil {
		return nil, describePathError(path, err)
	}
	seed, err := hex.DecodeString(strings.TrimSpace(string(b)))
	if err != nil || len(seed) != ed25519.SeedSize {
		return nil, fail(exitUsage, "--new-key makes one in another file", fmt.Errorf("%s is no key file: it must hold 64 hex digits and nothing else", path))
	}
	return ed25519.NewKeyFromSeed(seed), nil
}

func newKey(path string) (ed25519.PrivateKey, error) {
	seed := make([]byte, ed25519.SeedSize)
	_, _ = rand.Read(seed) // never fails
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return nil, fail(exitExists, "leave out --new-key to use it", fmt.Errorf("%s is there already", path))
	}
	if err != nil {
		return nil, fail(codeOf(err), "", describePathError(path, err))
	}
	_, err = f.WriteString(hex.EncodeToString(seed) + "\n")
	if err = errors.Join(err, f.Sync(), f.Close()); err != nil {
		os.Remove(path)
		return nil, describePathError(path, err)
	}
	return ed25519.NewKeyFromSeed(seed), nil
}
