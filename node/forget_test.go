package node

import (
	"os"
	"path/filepath"
	"testing"

	"seedbed/internal/filetest"
	"seedbed/internal/id"
)

// Forget deletes only the folders of torrents that nobody has.
func TestForgetDeletesOnlyWhatNobodyHas(t *testing.T) {
	state := t.TempDir()
	cfg := Config{State: state, Listen: "127.0.0.1:0", NoDHT: true}
	var specs []Spec
	for _, name := range []string{"running", "session", "old session", "left over", "left over too"} {
		path := filepath.Join(t.TempDir(), name)
		filetest.Write(t, path, []byte(name))
		spec, err := Share(t.Context(), path, ShareOptions{})
		if err != nil {
			t.Fatal(err)
		}
		spec.Persistent = name == "session"
		specs = append(specs, spec)
	}
	n, err := Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range specs {
		x, err := n.Add(s)
		if err != nil {
			t.Fatal(err)
		}
		<-x.Done()
	}
	if err := n.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	filetest.Write(t, filepath.Join(state, "torrents", specs[2].InfoHash().String(), oldRecordName), []byte("{}"))
	if n, err = Open(cfg); err != nil {
		t.Fatal(err)
	}
	defer n.Close(t.Context())
	if _, err := n.Add(specs[0]); err != nil {
		t.Fatal(err)
	}
	withoutNode := func(infohash id.ID) error { return Forget(state, infohash) }
	for i, want := range []bool{true, true, true, false, false} {
		path := filepath.Join(state, "torrents", specs[i].InfoHash().String())
		if _, err := os.Stat(path); err != nil {
			t.Fatal("before:", err)
		}
		for _, forget := range []func(id.ID) error{withoutNode, n.Forget}[i/4:] { // the last one only with the node
			if err := forget(specs[i].InfoHash()); err != nil {
				t.Error(err)
			}
		}
		if _, err := os.Stat(path); (err == nil) != want {
			t.Errorf("torrent %d: %v", i, err)
		}
	}
}
