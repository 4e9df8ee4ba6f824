package statefile

import (
	"bytes"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestReadReturnsWhatWasWritten(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	for _, write := range []func(string, []byte) error{Write, WriteSync} {
		for _, want := range []string{"first", "the second, which is longer", ""} {
			if err := write(p, []byte(want)); err != nil {
				t.Fatal(err)
			}
			if got, err := Read(p); err != nil || string(got) != want {
				t.Fatalf("%q, %v; want %q", got, err, want)
			}
		}
	}
}

func TestReadIsBounded(t *testing.T) {
	p := filepath.Join(t.TempDir(), "f")
	if err := Write(p, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	if b, err := ReadMax(p, 10); err != nil || len(b) != 10 {
		t.Fatalf("%d bytes, %v", len(b), err)
	}
	if _, err := ReadMax(p, 9); err == nil {
		t.Fatal("read 10 bytes where 9 were allowed")
	}
}

func TestAFailedWriteLeavesNothing(t *testing.T) {
	dir := t.TempDir()
	target := filepath.Join(dir, "taken")
	if err := os.MkdirAll(filepath.Join(target, "inside"), 0o755); err != nil {
		t.Fatal(err)
	}
	for _, write := range []func(string, []byte) error{Write, WriteSync} {
		var not *NotRegularError
		if err := write(target, []byte("x")); !errors.As(err, &not) || !strings.Contains(err.Error(), target) {
			t.Fatalf("replacing a folder gives %v", err)
		}
	}
	left, err := os.ReadDir(dir)
	if err != nil || len(left) != 1 {
		t.Fatalf("%v, %v", left, err)
	}
}

func TestWriteNewNeverReplaces(t *testing.T) {
	p := filepath.Join(t.TempDir(), "key")
	if err := WriteNew(p, []byte("one")); err != nil {
		t.Fatal(err)
	}
	if err := WriteNew(p, []byte("two")); !errors.Is(err, fs.ErrExist) {
		t.Fatalf("writing it again gives %v", err)
	}
	if b, err := Read(p); err != nil || string(b) != "one" {
		t.Fatalf("%q, %v", b, err)
	}
}

func TestALockIsHeldOnceAndCanBeRetaken(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "a", "b")
	one, err := LockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if two, err := LockFolder(dir); two != nil || !errors.Is(err, ErrLocked) {
		t.Fatalf("taken twice: %v, %v", two, err)
	}
	if err := one.Release(); err != nil {
		t.Fatal(err)
	}
	two, err := LockFolder(dir)
	if err != nil {
		t.Fatal(err)
	}
	if err := one.Retake(); !errors.Is(err, ErrLocked) {
		t.Fatalf("retaken while another has it: %v", err)
	}
	if err := errors.Join(two.Release(), one.Retake(), one.Release()); err != nil {
		t.Fatal(err)
	}
}

func TestSweepRemovesOnlyOldTemporaryFiles(t *testing.T) {
	dir := t.TempDir()
	old := time.Now().Add(-2 * staleAfter)
	for _, name := range []string{".seedbed-1.tmp", ".seedbed-2.tmp", "node.json", ".seedbed-notes"} {
		p := filepath.Join(dir, name)
		if err := os.WriteFile(p, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if name != ".seedbed-2.tmp" {
			if err := os.Chtimes(p, old, old); err != nil {
				t.Fatal(err)
			}
		}
	}
	Sweep(dir)
	var left bytes.Buffer
	entries, _ := os.ReadDir(dir)
	for _, e := range entries {
		left.WriteString(e.Name() + " ")
	}
	if got, want := left.String(), ".seedbed-2.tmp .seedbed-notes node.json "; got != want {
		t.Fatalf("left %q, want %q", got, want)
	}
}
