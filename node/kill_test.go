package node

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"seedbed/internal/filetest"
	"seedbed/magnet/metainfo"
	"seedbed/node/lifecycle"
)

// victimRoot is the environment variable with the folder of the process to be killed.
const victimRoot = "SEEDBED_TEST_VICTIM"

// victims is the number of torrents that a victim uses.
const victims = 6

// victim restores the session in root/state and does random operations until it is killed.
// It prints each operation before and after.
func victim(root string) {
	seed, _ := strconv.ParseUint(os.Getenv(victimRoot+"_SEED"), 10, 64)
	random := rand.New(rand.NewPCG(seed, 7))
	must := func(err error) {
		if err != nil {
			fmt.Println("failed", err)
			os.Exit(1)
		}
	}
	specs := make([]Spec, victims)
	for i := range specs {
		b, err := os.ReadFile(filepath.Join(root, strconv.Itoa(i)+".torrent"))
		must(err)
		torrent, err := metainfo.ParseTorrent(b)
		must(err)
		specs[i] = Spec{Torrent: torrent, Persistent: true}
	}
	cfg := Config{State: filepath.Join(root, "state"), Listen: "127.0.0.1:0", NoDHT: true}
	if seed%2 == 0 {
		cfg.rename = func(string, string) error { return syscall.EXDEV }
	}
	n, err := Open(cfg)
	must(err)
	ctx := context.Background()
	must(n.Restore(ctx))
	fmt.Println("ready")
	removed := map[int]*Torrent{}
	for {
		i := random.IntN(victims)
		x := n.Torrent(specs[i].InfoHash())
		dir := random.IntN(folders)
		do := func(op string, f func() error) {
			fmt.Println("begin", i, op, dir)
			must(f())
			fmt.Println("done", i, op, dir)
		}
		path := filepath.Join(root, "d"+strconv.Itoa(dir))
		if x == nil {
			if old := removed[i]; old != nil { // it may still be deleting the files
				<-old.Ended()
			}
			do("add", func() error {
				for d := range folders {
					os.Remove(filepath.Join(root, "d"+strconv.Itoa(d), specs[i].Name()))
				}
				name := filepath.Join(path, specs[i].Name())
				must(os.WriteFile(name+".tmp", victimData(i), 0o644))
				must(os.Rename(name+".tmp", name))
				spec := specs[i]
				spec.Dir = path
				x, err := n.Add(spec)
				if err == nil {
					for !x.Snapshot().Complete { // so that its data is known to be ours
						time.Sleep(time.Millisecond)
					}
					x.Pause(ctx) // it is in the record now
					err = x.Resume(ctx)
				}
				return err
			})
			continue
		}
		switch random.IntN(6) {
		case 0, 1:
			must(x.Settled(ctx)) // one move at a time
			do("move", func() error { return x.Move(ctx, path) })
		case 2:
			do("pause", func() error { return x.Pause(ctx) })
		case 3:
			do("resume", func() error { return x.Resume(ctx) })
		case 4:
			removed[i] = x
			do("remove", func() error { return n.Remove(ctx, specs[i].InfoHash(), false) })
		case 5:
			removed[i] = x
			do("delete", func() error { return n.Remove(ctx, specs[i].InfoHash(), true) })
		}
	}
}

func victimData(i int) []byte { return filetest.RandomBytes("victim"+strconv.Itoa(i), 200_000) }

// apply returns the twin after an operation.
func (w twin) apply(op string, dir int) twin {
	switch op {
	case "add":
		return twin{there: true, dir: dir, data: dir, labels: "[]"}
	case "move":
		w.dir, w.data, w.moving = dir, dir, true
	case "pause":
		w.paused = true
	case "resume":
		w.paused = false
	case "remove":
		if w.there = false; w.moving { // the removal ends the move
			w.data = anyFolder
		}
	case "delete":
		w.there, w.data = false, -1
	}
	return w
}

// A process that works on its session is killed at random instants. After each kill, the
// next node has every completed operation, and the interrupted one either completely or not
// at all.
func TestBatteryKillsOfTheSession(t *testing.T) {
	kills := 6
	if os.Getenv("SEEDBED_SOAK") != "" {
		kills = 200
	}
	root := t.TempDir()
	twins := make([]twin, victims)
	specs := make([]Spec, victims)
	for d := range folders {
		if err := os.Mkdir(filepath.Join(root, "d"+strconv.Itoa(d)), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for i := range victims {
		path := filepath.Join(t.TempDir(), "victim"+strconv.Itoa(i))
		filetest.Write(t, path, victimData(i))
		spec, err := Share(t.Context(), path, ShareOptions{PieceLength: 16 << 10})
		if err != nil {
			t.Fatal(err)
		}
		specs[i], twins[i] = spec, twin{data: -2}
		filetest.Write(t, filepath.Join(root, strconv.Itoa(i)+".torrent"), spec.Torrent.Append(nil))
	}
	ops := map[string]int{}
	for k := range kills {
		done, begun := killOne(t, root, uint64(k))
		for _, o := range done {
			twins[o.torrent] = twins[o.torrent].apply(o.name, o.dir)
		}
		ops[begun.name]++
		checkSession(t, root, specs, twins, begun)
		if t.Failed() {
			t.Fatalf("after kill %d, after %+v, in the middle of %+v", k, done, begun)
		}
	}
	t.Logf("battery: %d kill -9 in the middle of %v; nothing is lost or half done", kills, ops)
}

type victimOp struct {
	torrent int
	name    string
	dir     int
}

// killOne runs a victim and kills it. It returns the completed operations and the interrupted
// one; its name is "" if there was none.
func killOne(t *testing.T, root string, seed uint64) (done []victimOp, begun victimOp) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), victimRoot+"="+root, victimRoot+"_SEED="+strconv.FormatUint(seed, 10))
	cmd.Stderr = os.Stderr
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	random := rand.New(rand.NewPCG(seed, 8))
	after := random.IntN(25) // operations
	moment := time.Duration(random.IntN(20_000)) * time.Microsecond
	lines := bufio.NewScanner(out)
	killed := false
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		switch f[0] {
		case "failed":
			t.Error(lines.Text())
		case "begin", "done":
			i, _ := strconv.Atoi(f[1])
			dir, _ := strconv.Atoi(f[3])
			o := victimOp{i, f[2], dir}
			if begun = o; f[0] == "done" {
				done, begun = append(done, o), victimOp{}
			}
		}
		if len(done) >= after && !killed {
			killed = true
			time.AfterFunc(moment, func() { _ = cmd.Process.Kill() })
		}
	}
	_ = cmd.Wait() // it was killed
	return done, begun
}

// checkSession compares the session after a kill with its twins.
func checkSession(t *testing.T, root string, specs []Spec, twins []twin, begun victimOp) {
	t.Helper()
	n, err := Open(Config{State: filepath.Join(root, "state"), Listen: "127.0.0.1:0", NoDHT: true})
	if err != nil {
		t.Fatal(err)
	}
	defer n.Close(context.Background())
	if err := n.Restore(t.Context()); err != nil {
		t.Error(err)
	}
	for _, x := range n.Torrents() {
		for x.Snapshot(); ; x.Snapshot() {
			if err := x.Settled(t.Context()); err != nil {
				t.Fatal(err)
			}
			if p := x.Phase().String(); p == "seeding" || p == "paused" || p == "ended" {
				break
			}
			if err := t.Context().Err(); err != nil {
				t.Fatal(err)
			}
			if s := x.Snapshot(); s.Paused != nil || s.State == lifecycle.Downloading {
				t.Errorf("%s is %v: %v", x.Name(), s.State, s.Paused)
				break
			}
			time.Sleep(time.Millisecond)
		}
	}
	for i := range specs {
		b := victimData(i)
		why := differs(n, root, &specs[i], b, twins[i])
		if begun.name != "" && begun.torrent == i && why != "" {
			next := twins[i].apply(begun.name, begun.dir)
			either := []twin{next}
			if begun.name == "add" { // if interrupted, it is paused, or only its data exists
				half, bare := next, twin{data: -2}
				half.paused = true
				either = append(either, half, bare)
			}
			for _, w := range either {
				if differs(n, root, &specs[i], b, w) == "" {
					twins[i], why = w, ""
					break
				}
			}
		}
		if why != "" && begun.name != "" && begun.torrent == i {
			why += ", or " + differs(n, root, &specs[i], b, twins[i].apply(begun.name, begun.dir))
		}
		if why != "" {
			t.Errorf("torrent %d, which should be %+v: %s", i, twins[i], why)
		}
		twins[i].moving = false
		if !twins[i].there && twins[i].data != deleted {
			twins[i].data = unknown // the next victim may delete it
		}
	}
}
