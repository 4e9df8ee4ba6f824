package swarm

import (
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"seedbed/internal/simnet"
)

// A lasting cause is reported once, and its end once, whatever it prevents: a read-only
// folder, a name that the file system rejects, a failing disk.
func TestOutageIsReportedOnce(t *testing.T) {
	info, full := makeFolder(t, 64<<10, 300_000, 1, 700_000)
	for name, c := range map[string]struct {
		op, in string
		err    error
	}{
		"a file cannot be made":          {"open", "f2.", syscall.EINVAL},
		"no file can be made":            {"open", ".part", syscall.EACCES},
		"a file cannot be written":       {"write", "f2.", syscall.EIO},
		"a file cannot be synced":        {"sync", "f0", syscall.EIO},
		"a file cannot get its name":     {"rename", "f0", syscall.EACCES},
		"a folder cannot be synced":      {"syncdir", "d0", syscall.EIO},
		"the record cannot be written":   {"open", "resume.new", syscall.EROFS},
		"the record cannot get its name": {"rename", "resume", syscall.EROFS},
		"a note cannot be written":       {"open", "resume.finish", syscall.EROFS},
		"the disk is full":               {"write", "", syscall.ENOSPC},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				n := simnet.New(1, simnet.Link{Delay: 10 * time.Millisecond, Rate: 1e5})
				disk := simnet.NewDisk()
				seed := startNode(t, n, 1, info, full.copy())
				defer seed.close()
				leech := startNode(t, n, 2, info, nil, onSimDisk(t, disk))
				defer leech.close()
				disk.SetFail(func(op, file string) error {
					if op == c.op && strings.Contains(file, c.in) && !strings.Contains(file, "resume.journal") {
						return c.err
					}
					return nil
				})
				leech.addPeers(seed)
				time.Sleep(time.Hour)
				count := func() (paused, resumed int) {
					leech.mu.Lock()
					defer leech.mu.Unlock()
					for _, ev := range leech.events {
						switch ev.Kind {
						case Paused:
							paused++
							t.Log(ev.Err)
						case Resumed:
							resumed++
						}
					}
					return paused, resumed
				}
				if paused, resumed := count(); paused != 1 || resumed != 0 {
					t.Errorf("paused %d times, resumed %d", paused, resumed)
				}
				if leech.Snapshot().State != Stalled {
					t.Error("wrong state:", leech.Snapshot().State)
				}
				disk.SetFail(nil)
				time.Sleep(retryLongest + stableTime + time.Second)
				if paused, resumed := count(); resumed != 1 {
					t.Errorf("afterwards: paused %d times, resumed %d", paused, resumed)
				}
				leech.await(Complete, 5*time.Minute)
			})
		})
	}
}
