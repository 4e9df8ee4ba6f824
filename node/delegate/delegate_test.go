package delegate

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"seedbed/internal/id"
	"seedbed/magnet/mutable"
	"seedbed/node"
)

var (
	master = ed25519.NewKeyFromSeed(bytes.Repeat([]byte("m"), ed25519.SeedSize))
	owner  = id.ID32(master.Public().(ed25519.PublicKey))
)

func statement(t testing.TB, seq int64, salt string, keys ...id.ID32) *Statement {
	t.Helper()
	s, err := Sign(master, []byte(salt), seq, id.ID{7}, mutable.Delegation{Keys: keys, Expiry: time.Unix(1_900_000_000, 0), Number: 4})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// A file is read as it was written, and a change of any byte of it is noticed.
func TestFiles(t *testing.T) {
	for _, salt := range []string{"", "salt"} {
		s := statement(t, 3, salt, id.ID32{1}, id.ID32{2})
		text := s.Append(nil)
		got, err := Parse(text)
		if err != nil || got.InfoHash != s.InfoHash || got.Number != 4 || len(got.Keys) != 2 || !bytes.Equal(got.Append(nil), text) {
			t.Fatalf("%+v, %v", got, err)
		}
		if l := got.Link("name"); l.PublicKey != owner || string(l.Salt) != salt {
			t.Error(l)
		}
		windows := bytes.ReplaceAll(text, []byte("\n"), []byte("\r\n"))
		if _, err := Parse(windows); err != nil {
			t.Error(err)
		}
		for k := range text[:len(text)-1] {
			bad := bytes.Clone(text)
			bad[k] ^= 1
			if _, err := Parse(bad); err == nil {
				t.Fatalf("byte %d of %q was changed unnoticed", k, text)
			}
			if _, err := Parse(text[:k]); err == nil {
				t.Fatalf("the first %d bytes are enough", k)
			}
		}
	}
	for text, want := range map[string]string{
		"":                             "first line",
		"seedbed delegation 2\n":       "newer version",
		strings.Repeat("x", MaxFile+1): "bytes",
		string(statement(t, 1, "").Append(nil)) + "x y\n": "after the signature",
	} {
		var f *node.Fault
		if _, err := Parse([]byte(text)); !errors.As(err, &f) || f.Kind != node.FaultUsage || !strings.Contains(err.Error(), want) {
			t.Errorf("%.30q: %v", text, err)
		}
	}
}

// The store keeps the newest statement of each publication.
func TestStore(t *testing.T) {
	dir := t.TempDir()
	s := Open(dir)
	if st, err := s.Load(owner, nil); st != nil || err != nil {
		t.Fatal(st, err)
	}
	for _, c := range []struct {
		st   *Statement
		fits bool
	}{
		{statement(t, 3, ""), true},
		{statement(t, 3, ""), true},
		{statement(t, 3, "", id.ID32{1}), false},
		{statement(t, 2, ""), false},
		{statement(t, 1, "other"), true},
		{statement(t, 4, "", id.ID32{9}), true},
	} {
		if err := s.Save(c.st); (err == nil) != c.fits {
			t.Errorf("number %d: %v", c.st.Item.Seq, err)
		}
	}
	st, err := s.Load(owner, nil)
	if err != nil || st.Item.Seq != 4 || len(st.Keys) != 1 {
		t.Fatal(st, err)
	}
	if list, err := s.List(); err != nil || len(list) != 2 || list[0].Item.Seq+list[1].Item.Seq != 5 {
		t.Errorf("%v, %v", list, err)
	}
	path := s.path(st.Item.Target())
	var damaged *node.DamagedError
	if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(owner, nil); !errors.As(err, &damaged) || damaged.Path != path {
		t.Error(err)
	}
	if list, err := s.List(); !errors.As(err, &damaged) || len(list) != 1 || list[0].Item.Seq != 1 {
		t.Errorf("%v, %v", list, err)
	}
	if err := os.Rename(filepath.Join(dir, "delegations", statement(t, 1, "other").Item.Target().String()), path); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(owner, nil); !errors.As(err, &damaged) {
		t.Error(err)
	}
}

// Of two statements with the same number that are signed at the same time in two processes, one is stored, and
// the other one is an error.
func TestTwoProcessesSign(t *testing.T) {
	if dir := os.Getenv("DELEGATIONS"); dir != "" { // the other processes
		var stored int
		for seq := range int64(20) {
			s := statement(t, seq+1, "", id.ID32{byte(os.Getpid()), byte(os.Getpid() >> 8)})
			err := Open(dir).Save(s)
			for node.KindOf(err) == node.FaultBusy {
				err = Open(dir).Save(s)
			}
			if err == nil {
				stored++
			}
		}
		fmt.Printf("stored %d\n", stored)
		return
	}
	dir, total := t.TempDir(), 0
	var processes []*exec.Cmd
	var outputs [3]bytes.Buffer
	for i := range outputs {
		c := exec.Command(os.Args[0], "-test.run", "^TestTwoProcessesSign$")
		c.Env = append(os.Environ(), "DELEGATIONS="+dir)
		c.Stdout = &outputs[i]
		if err := c.Start(); err != nil {
			t.Fatal(err)
		}
		processes = append(processes, c)
	}
	for i, c := range processes {
		var n int
		err := c.Wait()
		if _, e := fmt.Sscanf(outputs[i].String(), "stored %d", &n); err != nil || e != nil {
			t.Fatalf("%v, %v: %s", err, e, &outputs[i])
		}
		total += n
	}
	if total != 20 {
		t.Errorf("%d statements were stored for 20 numbers", total)
	}
}

func FuzzParse(f *testing.F) {
	f.Add(statement(f, 3, "salt", id.ID32{1}).Append(nil))
	f.Add(statement(f, 1, "").Append(nil))
	f.Add([]byte("seedbed delegation 1\nkey 00\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := Parse(b)
		if err != nil {
			var fault *node.Fault
			if !errors.As(err, &fault) {
				t.Fatal(err)
			}
			return
		}
		again, err := Parse(s.Append(nil))
		if err != nil || !bytes.Equal(again.Append(nil), s.Append(nil)) {
			t.Errorf("%q became %+v, %v", b, again, err)
		}
	})
}
