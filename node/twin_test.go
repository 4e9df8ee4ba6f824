package node

import (
	"bytes"
	"cmp"
	"fmt"
	"os"
	"path/filepath"
	"strconv"

	"seedbed/node/lifecycle"
)

// twin is the expected state of a torrent.
type twin struct {
	there  bool
	paused bool
	held   bool // until the next start
	dir    int
	labels string
	high   bool   // file 1 has a high priority
	name   string // of the torrent and its file; "": that of its metadata
	data   int    // folder that has the data, or one of the constants below
	moving bool   // a move was requested, and may not have ended; used by the kill test
}

const (
	deleted   = -1
	unknown   = -2 // the disk has failed
	anyFolder = -3 // exactly one folder has it: a removal has ended a move
)

// anyName is the name in a twin if a rename has failed or a removal has ended it.
const anyName = "?"

// namesOf are the names that the model gives a torrent.
func namesOf(s *Spec) []string { return []string{s.Name(), s.Name() + "a", s.Name() + "b"} }

// file returns the name of the file.
func (w twin) file(s *Spec) string { return cmp.Or(w.name, s.Name()) }

// rename returns the twin with another name.
func (w twin) rename(s *Spec, name string) twin {
	if w.name = name; name == s.Name() {
		w.name = ""
	}
	return w
}

// folders is the number of folders in a model.
const folders = 3

// differs returns how a torrent differs from a twin, or "". The folders are d0, d1, ... in root.
func differs(n *Node, root string, s *Spec, content []byte, want twin) string {
	folder := func(i int) string { return filepath.Join(root, "d"+strconv.Itoa(i)) }
	x := n.Torrent(s.InfoHash())
	if (x != nil) != want.there {
		return fmt.Sprintf("it is in the node: %v", x != nil)
	}
	if x != nil {
		x.Snapshot()
		phase, spec := x.Phase(), x.spec()
		switch {
		case want.paused != (phase == lifecycle.Paused), !want.paused && want.held != (phase == lifecycle.Queued),
			!want.paused && !want.held && phase != lifecycle.Seeding:
			return fmt.Sprintf("it is %v: %v", phase, x.Snapshot().Paused)
		case spec.Dir != folder(want.dir):
			return "it is in " + spec.Dir
		case len(spec.Priorities.High) > 0 != want.high:
			return fmt.Sprintf("the files of high priority are %v", spec.Priorities.High)
		case fmt.Sprint(spec.Labels) != want.labels:
			return fmt.Sprintf("its labels are %v", spec.Labels)
		case want.name == anyName:
			want = want.rename(s, x.Root())
		}
		if x.Root() != want.file(s) || x.Name() != want.file(s) {
			return fmt.Sprintf("its name is %s, and that of its file %s", x.Name(), x.Root())
		}
	}
	copies := 0
	for d := range folders {
		for _, name := range namesOf(s) {
			b, err := os.ReadFile(filepath.Join(folder(d), name))
			if err == nil {
				copies++
			}
			switch {
			case err != nil || want.data == unknown:
			case want.data != anyFolder && d != want.data, want.name != anyName && name != want.file(s):
				return fmt.Sprintf("its data is in folder %d, as %s", d, name)
			case !bytes.Equal(b, content):
				return "its data has changed"
			}
			left, _ := filepath.Glob(filepath.Join(folder(d), name+".*.moving"))
			if len(left) > 0 {
				return fmt.Sprintf("half a copy is left: %v", left)
			}
		}
	}
	if want.data != unknown && (copies == 0) != (want.data == deleted) || want.data != unknown && copies > 1 {
		return fmt.Sprintf("there are %d copies of its data", copies)
	}
	_, err := os.Stat(filepath.Join(root, "state", "torrents", s.InfoHash().String()))
	if want.data != unknown && (err == nil) != want.there { // an interrupted Add may leave a folder without a record
		return fmt.Sprintf("its folder in the state directory: %v", err)
	}
	return ""
}
