package storage

import (
	"fmt"
	"math/rand/v2"
	"path/filepath"
	"slices"
	"syscall"
	"testing"

	"seedbed/internal/simnet"
)

// mortalDisk is a folder of a disk that stops changing after a number of operations, as for a
// process that is killed then.
type mortalDisk struct {
	modelDisk
	p *process
}

type process struct{ left int }

func (p *process) step() error {
	if p.left--; p.left < 0 {
		return syscall.EIO
	}
	return nil
}

func (d mortalDisk) Remove(name string) error {
	if err := d.p.step(); err != nil {
		return err
	}
	return d.modelDisk.Remove(name)
}

// relocationOnModel returns a relocation from folder "from" to folder "to" of a disk. The process
// that performs it is killed after some operations.
func relocationOnModel(f fixture, disk *simnet.Disk, across bool, operations int) (r Relocation, p *process) {
	p = &process{operations}
	disk.SetFail(func(op, _ string) error {
		if op == "open" || op == "read" {
			return nil
		}
		return p.step()
	})
	r.Options = Options{Dir: "from", Info: f.info, Handles: NewHandles(20), Record: "st/resume", OpenDisk: func(dir string, _ bool) (Disk, error) {
		return mortalDisk{modelDisk{disk.Sub(filepath.Base(dir))}, p}, nil
	}}
	r.To = "to"
	r.Rename = func(from, to string) error {
		if across {
			return syscall.EXDEV
		}
		base, _ := filepath.Abs(".")
		a, _ := filepath.Rel(base, from)
		b, _ := filepath.Rel(base, to)
		return disk.Rename(a, b)
	}
	return r, p
}

// prove hashes doubtful data in a folder, as the node does before it moves or removes the files.
func prove(t *testing.T, o Options) error {
	s, err := Open(o)
	if err != nil {
		return err
	}
	if s.NeedsCheck() {
		if _, err := s.CheckDoubtful(t.Context(), func(int64, int64) {}); err != nil {
			_ = s.Close()
			return err
		}
	}
	return s.Close()
}

// goOn continues a move, as the node does after a restart.
func goOn(t *testing.T, r Relocation) error {
	if moved, err := Reclaim(r); moved || err != nil {
		return err
	}
	if err := prove(t, r.Options); err != nil {
		return err
	}
	_, err := Relocate(t.Context(), r)
	return err
}

// removeAfter removes the files of a torrent whose move was interrupted.
func removeAfter(t *testing.T, r Relocation) error {
	moved, err := Abandon(r)
	if err != nil {
		return err
	}
	o := r.Options
	if moved {
		o.Dir = r.To
	}
	if !IsRemoving(o) {
		if err := prove(t, o); err != nil {
			return err
		}
	}
	return RemoveFiles(o)
}

func abandon(_ *testing.T, r Relocation) error {
	_, err := Abandon(r)
	return err
}

// A kill or a power cut at any instant of a move, and another one at any instant of what follows,
// leave no file behind: the move continues, is undone, or the files are removed in both folders.
func TestRelocateSurvivesKills(t *testing.T) {
	const never = 1 << 30
	f := small(t)
	for _, next := range []struct {
		name   string
		do     func(*testing.T, Relocation) error
		places []int // the possible numbers of files in the old folder
	}{{"move", goOn, []int{0}}, {"abandon", abandon, []int{0, 4}}, {"remove", removeAfter, []int{0}}} {
		for _, across := range []bool{false, true} {
			for _, cut := range []bool{false, true} {
				name := fmt.Sprintf("%s, copied %v, power cut %v", next.name, across, cut)
				for first := 0; first >= 0; first++ {
					for second := first % 3; second >= 0; {
						disk := simnet.NewDisk()
						dice := rand.New(rand.NewPCG(uint64(first), uint64(second)))
						r, _ := relocationOnModel(f, disk, across, never)
						s := open(t, r.Options)
						for p := range f.info.NumPieces() - 1 {
							f.put(t, s, p)
						}
						must(t, s.Finish())
						must(t, s.Flush())
						must(t, s.Close())
						run := func(operations int, do func(*testing.T, Relocation) error) (ended bool) {
							r, p := relocationOnModel(f, disk, across, operations)
							defer r.Handles.Close()
							err := do(t, r)
							disk.SetFail(nil)
							if ended = p.left >= 0; ended {
								if err != nil {
									t.Fatalf("%s, kills after %d and %d operations: %v", name, first, second, err)
								}
							} else if cut {
								disk.Cut(dice)
							}
							return ended
						}
						if run(first, func(t *testing.T, r Relocation) error { return relocate(t.Context(), r) }) {
							first = -2
							break
						}
						ended := run(second, next.do)
						run(never, next.do)
						from, to := modelFiles(t, disk.Sub("from"), "."), modelFiles(t, disk.Sub("to"), ".")
						want := 4
						if next.name == "remove" {
							want = 0
						}
						if len(from)+len(to) != want || !slices.Contains(next.places, len(from)) {
							t.Fatalf("%s, kills after %d and %d operations: %v is in the old folder, %v in the new one", name, first, second, from, to)
						}
						r.Handles.Close()
						if second += 3; ended { // the others follow another first one
							second = -1
						}
					}
				}
			}
		}
	}
}

// If the record cannot be switched to the new folder, the files are in the old one afterwards.
func TestRelocateFailsWholeWithoutARecord(t *testing.T) {
	f := small(t)
	for _, across := range []bool{false, true} {
		disk := simnet.NewDisk()
		r, _ := relocationOnModel(f, disk, across, 1<<30)
		s := open(t, r.Options)
		f.put(t, s, 0, 1, 2)
		must(t, s.Finish())
		must(t, s.Close())
		before := modelFiles(t, disk.Sub("from"), ".")
		disk.SetFail(func(op, name string) error {
			if op == "write" && name == "resume.new" {
				return syscall.ENOSPC
			}
			return nil
		})
		if moved, err := Relocate(t.Context(), r); moved || err == nil {
			t.Errorf("with a full disk, copied %v: %v, %v", across, moved, err)
		}
		disk.SetFail(nil)
		if from, to := modelFiles(t, disk.Sub("from"), "."), modelFiles(t, disk.Sub("to"), "."); !slices.Equal(from, before) || len(to) > 0 {
			t.Errorf("copied %v: of %v, %v is in the old folder and %v in the new one", across, before, from, to)
		}
		moved, err := Relocate(t.Context(), r)
		if must(t, err); !moved {
			t.Error("the files did not move")
		}
		r.Handles.Close()
	}
}
