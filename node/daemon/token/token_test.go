package token_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/internal/statefile"
	"seedbed/node/daemon/token"
)

func open(t *testing.T, path string) *token.Store {
	t.Helper()
	s, err := token.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A token gives access until it is revoked, also after a restart, and its text is not in the file.
func TestATokenIsValidUntilItIsRevoked(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	s := open(t, path)
	text, made, err := s.New("phone", token.Add)
	if err != nil {
		t.Fatal(err)
	}
	other, _, err := s.New("phone", token.Read)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := token.Open(path); !errors.Is(err, statefile.ErrLocked) {
		t.Errorf("a second process gets %v", err)
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	again := open(t, path)
	if got, ok := again.Check(text); !ok || got != made || got.Scope != token.Add {
		t.Fatalf("%+v, %v", got, ok)
	}
	for _, wrong := range []string{"", text + "a", text[:len(text)-1], made.ID, strings.ToUpper(text)} {
		if _, ok := again.Check(wrong); ok {
			t.Errorf("%q is valid", wrong)
		}
	}
	b, err := os.ReadFile(path)
	if err != nil || strings.Contains(string(b), text) || strings.Contains(string(b), strings.TrimPrefix(text, "sbt_")) {
		t.Errorf("the file holds the text of a token, %v", err)
	}
	if st, err := os.Stat(path); err != nil || st.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", st.Mode(), err)
	}
	if gone, err := again.Revoke(made.ID); err != nil || len(gone) != 1 {
		t.Fatalf("%v, %v", gone, err)
	}
	if _, ok := again.Check(text); ok {
		t.Error("a revoked token is valid")
	}
	if _, ok := again.Check(other); !ok {
		t.Error("another token is not valid any more")
	}
	if _, err := again.Revoke(made.ID); !errors.Is(err, token.ErrUnknown) {
		t.Errorf("revoking it again returns %v", err)
	}
	if gone, err := again.Revoke("phone"); err != nil || len(gone) != 1 || len(again.List()) != 0 {
		t.Errorf("%v, %v", gone, err)
	}
}

func TestADamagedFileIsAnError(t *testing.T) {
	for _, content := range []string{"[", `[{"id":"x","scope":"root"}]`, `[{"id":"x","scope":"admin","sha256":"12"}]`, `[{"id":"x","scope":"none","sha256":"` + strings.Repeat("00", 32) + `"}]`} {
		path := filepath.Join(t.TempDir(), "tokens")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := token.Open(path); err == nil || !strings.Contains(err.Error(), path) {
			t.Errorf("%s: %v", content, err)
		}
	}
}
