package dhtcmd

import (
	"bytes"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"

	"seedbed/cmd/seedbed/exit"
	"seedbed/cmd/seedbed/report"
)

func TestKeyFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "k")
	if _, err := openKey(path, false); exit.CodeOf(err) != exit.NotFound || !strings.Contains(report.Sentence(err), "--new-key") {
		t.Errorf("%v", err)
	}
	made, err := openKey(path, true)
	if err != nil {
		t.Fatal(err)
	}
	if st, _ := os.Stat(path); runtime.GOOS != "windows" && st.Mode() != 0o600 {
		t.Errorf("mode %v", st.Mode())
	}
	if again, err := openKey(path, false); err != nil || !bytes.Equal(made, again) {
		t.Errorf("another key, or %v", err)
	}
	if _, err := openKey(path, true); exit.CodeOf(err) != exit.Exists {
		t.Errorf("%v", err)
	}
	if _, err := openKey(dir, false); err == nil {
		t.Error("a folder is a key")
	}
	for _, text := range []string{"", "xx", strings.Repeat("0", 63), strings.Repeat("0", 128), strings.Repeat("g", 64)} {
		bad := filepath.Join(dir, "bad")
		if err := os.WriteFile(bad, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := openKey(bad, false); exit.CodeOf(err) != exit.Usage || text != "" && len(text) > 2 && strings.Contains(err.Error(), text) {
			t.Errorf("%q: %v", text, err)
		}
	}
	if runtime.GOOS != "windows" {
		for _, mode := range []os.FileMode{0o640, 0o604, 0o620} {
			if err := os.Chmod(path, mode); err != nil {
				t.Fatal(err)
			}
			if _, err := openKey(path, false); exit.CodeOf(err) != exit.Open || !strings.Contains(report.Sentence(err), "chmod 600") {
				t.Errorf("mode %v: %v", mode, err)
			}
		}
	}
}
