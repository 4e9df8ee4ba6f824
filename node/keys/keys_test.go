package keys

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"seedbed/node"
)

func TestStoreNeverOverwritesKeys(t *testing.T) {
	dir := t.TempDir()
	s := Open(dir)
	if names, err := s.List(); err != nil || len(names) != 0 {
		t.Fatal(names, err)
	}
	b, a := New(), New()
	if err := errors.Join(s.Save("b", b), s.Save("a", a)); err != nil {
		t.Fatal(err)
	}
	var f *node.Fault
	if err := s.Save("a", b); !errors.As(err, &f) || f.Kind != node.FaultExists {
		t.Errorf("saving over a key gives %v", err)
	}
	if got, err := s.Key("a"); err != nil || !got.Equal(a) {
		t.Errorf("%v", err)
	}
	if _, err := s.Key("c"); !errors.As(err, &f) || f.Kind != node.FaultVanished {
		t.Errorf("a missing key gives %v", err)
	}
	for _, name := range []string{"", ".a", "../a", "a/b", strings.Repeat("a", maxName+1)} {
		if err := s.Save(name, a); !errors.As(err, &f) || f.Kind != node.FaultUsage {
			t.Errorf("the name %q gives %v", name, err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "keys", "folder"), 0o700); err != nil {
		t.Fatal(err)
	}
	if names, err := s.List(); err != nil || strings.Join(names, " ") != "a b" {
		t.Error(names, err)
	}
}

func TestAKeyFileThatOthersCanReadIsRefused(t *testing.T) {
	if runtime.GOOS == "windows" {
		t.Skip("Windows has no file modes")
	}
	p := filepath.Join(t.TempDir(), "key")
	if err := Write(p, New()); err != nil {
		t.Fatal(err)
	}
	if _, err := Read(p); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(p, 0o640); err != nil {
		t.Fatal(err)
	}
	var e *Error
	if _, err := Read(p); !errors.Is(err, fs.ErrPermission) || !errors.As(err, &e) || e.Hint() != "chmod 600 "+p {
		t.Errorf("%v", err)
	}
	if _, err := Read(filepath.Dir(p)); !errors.As(err, &e) || e.Hint() == "" {
		t.Errorf("a folder gives %v", err)
	}
}

func TestErrorsNeverShowASecret(t *testing.T) {
	secret := strings.Repeat("5e", 40)
	if _, err := Parse(secret); err == nil || strings.Contains(err.Error(), "5e5e") {
		t.Errorf("%v", err)
	}
}
