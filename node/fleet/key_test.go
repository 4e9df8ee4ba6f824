package fleet

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"seedbed/node"
)

func TestKeyFiles(t *testing.T) {
	path := filepath.Join(t.TempDir(), "key")
	if err := NewKey(path); err != nil {
		t.Fatal(err)
	}
	key, err := ReadKey(path)
	if err != nil || len(key) != KeyLen || bytes.Equal(key, make([]byte, KeyLen)) {
		t.Fatalf("%x, %v", key, err)
	}
	if err := NewKey(path); node.KindOf(err) != node.FaultExists {
		t.Errorf("a key was overwritten: %v", err)
	}
	if runtime.GOOS != "windows" {
		if err := os.Chmod(path, 0o644); err != nil {
			t.Fatal(err)
		}
		if _, err := ReadKey(path); node.KindOf(err) != node.FaultPermission {
			t.Errorf("a key that others can read: %v", err)
		}
	}
	for text, ok := range map[string]bool{
		hex.EncodeToString(key): true, " " + hex.EncodeToString(key) + "\n": true, base64.StdEncoding.EncodeToString(key): true, base64.RawURLEncoding.EncodeToString(key): true,
		"": false, "secret": false, hex.EncodeToString(key[1:]): false, hex.EncodeToString(key) + "00": false, strings.Repeat("x", 4000): false,
	} {
		got, err := parseKey(text)
		if (err == nil) != ok || ok && !bytes.Equal(got, key) {
			t.Errorf("%.80q: %x, %v", text, got, err)
		}
	}
	if _, err := ReadKey(filepath.Join(t.TempDir(), "none")); err == nil || !strings.Contains(err.Error(), "none") {
		t.Errorf("no file: %v", err)
	}
}

// The name of a node stays the same.
func TestTheNameIsKept(t *testing.T) {
	dir := t.TempDir()
	name, err := Name(dir)
	if err != nil || CheckName(name) != nil {
		t.Fatalf("%q, %v", name, err)
	}
	if again, err := Name(dir); again != name || err != nil {
		t.Errorf("%q became %q, %v", name, again, err)
	}
	if other, _ := Name(t.TempDir()); other == name {
		t.Errorf("two nodes have the name %q", name)
	}
	for name, ok := range map[string]bool{"a": true, "node-1.example_X": true, "": false, "a b": false, "ä": false, "a/b": false, strings.Repeat("a", 65): false} {
		if err := CheckName(name); (err == nil) != ok {
			t.Errorf("%q: %v", name, err)
		}
	}
}
