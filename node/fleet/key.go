package fleet

import (
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"seedbed/internal/statefile"
	"seedbed/node"
)

// KeyLen is the length of a key in bytes (AES-256).
const KeyLen = 32

// maxKeyFile is the number of bytes that are read of a key file.
const maxKeyFile = 1 << 10

// NewKey writes a new key to a file that only its owner can read. It never replaces a file.
func NewKey(path string) error {
	key := make([]byte, KeyLen)
	_, _ = rand.Read(key) // it never fails
	err := statefile.WriteNew(path, []byte(base64.StdEncoding.EncodeToString(key)+"\n"))
	if errors.Is(err, fs.ErrExist) {
		return node.NewFault(node.FaultExists, fmt.Errorf("%s exists", path), "give the name of a new file")
	}
	return err
}

// ReadKey reads the key in a file: KeyLen bytes in base64 or as hex digits. A file that other users can access is refused.
func ReadKey(path string) ([]byte, error) {
	fault := func(err error, hint string) error {
		var pe *fs.PathError
		if errors.As(err, &pe) {
			err = pe.Err
		}
		kind := node.FaultUsage
		switch {
		case errors.Is(err, fs.ErrPermission):
			kind = node.FaultPermission
		case errors.Is(err, fs.ErrNotExist):
			kind = node.FaultVanished
		}
		return node.NewFault(kind, fmt.Errorf("the key of the fleet in %s cannot be used: %w", path, err), hint)
	}
	f, err := statefile.Open(path)
	if err != nil {
		return nil, fault(err, "make one with seedbed fleet key -o FILE")
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return nil, fault(err, "")
	}
	if runtime.GOOS != "windows" && st.Mode().Perm()&0o077 != 0 {
		return nil, fault(fmt.Errorf("other users can read or change it (mode %#o): %w", st.Mode().Perm(), fs.ErrPermission), "chmod 600 "+path)
	}
	b, err := io.ReadAll(io.LimitReader(f, maxKeyFile))
	if err != nil {
		return nil, fault(err, "")
	}
	key, err := parseKey(string(b))
	if err != nil {
		return nil, fault(err, "make one with seedbed fleet key -o FILE")
	}
	return key, nil
}

// parseKey parses the content of a key file. Errors do not contain it.
func parseKey(text string) ([]byte, error) {
	text = strings.TrimSpace(text)
	for _, decode := range []func(string) ([]byte, error){hex.DecodeString, base64.StdEncoding.DecodeString, base64.RawURLEncoding.DecodeString} {
		if key, err := decode(text); err == nil && len(key) == KeyLen {
			return key, nil
		}
	}
	return nil, fmt.Errorf("it is not a key: it must have %d bytes in base64 or as hex digits, and nothing else", KeyLen)
}

// isLoopback reports whether only this machine can reach a HOST:PORT to listen on.
func isLoopback(hostPort string) bool {
	host, _, err := net.SplitHostPort(hostPort)
	if err != nil {
		return false
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

// Name returns the name of the node with a state directory: that of the machine with four random digits, which it keeps
// there.
func Name(state string) (string, error) {
	path := filepath.Join(state, "fleet-name")
	b, err := statefile.ReadMax(path, maxKeyFile)
	if err == nil && CheckName(strings.TrimSpace(string(b))) == nil {
		return strings.TrimSpace(string(b)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", err
	}
	host, err := os.Hostname()
	if err != nil {
		host = ""
	}
	host = strings.Map(func(c rune) rune {
		if CheckName(string(c)) != nil {
			return -1
		}
		return c
	}, host)
	if host == "" {
		host = "node"
	}
	var digits [2]byte
	_, _ = rand.Read(digits[:]) // it never fails
	name := fmt.Sprintf("%s-%x", host[:min(len(host), maxName-5)], digits)
	if err := statefile.MkdirAll(state); err != nil {
		return "", err
	}
	return name, statefile.WriteSync(path, []byte(name+"\n"))
}
