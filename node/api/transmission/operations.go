package transmission

import (
	"context"
	"errors"
	"math"
	"path"
	"slices"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"seedbed/internal/await"
	"seedbed/node"
	"seedbed/node/daemon"
)

const (
	// answerWithin is how long an answer waits for a disk. An operation then continues after
	// the answer.
	answerWithin = 2 * time.Second
	// atOnce is how many torrents an operation changes at the same time, because saving a record
	// waits for the disk.
	atOnce = 32
)

// each performs an operation on torrents and returns its first error. A torrent that another
// client removes meanwhile is left out, like an id that no torrent has.
func (r *request) each(torrents []*node.Torrent, do func(context.Context, *node.Torrent) error) error {
	return r.within(func(ctx context.Context) error {
		var g errgroup.Group
		g.SetLimit(atOnce)
		for _, t := range torrents {
			g.Go(func() error {
				if err := do(ctx, t); !errors.Is(err, node.ErrEnded) && !errors.Is(err, node.ErrUnknown) {
					return err
				}
				return nil
			})
		}
		return g.Wait()
	})
}

// within performs an operation. If it takes too long, the request is answered as if the operation had
// succeeded, and the operation continues.
func (r *request) within(do func(context.Context) error) error {
	err, ended := await.Value(r.patience, func() error { return do(r.Node().Context()) })
	if !ended {
		return r.ctx.Err()
	}
	return err
}

func (r *request) torrentStart() error {
	return r.each(r.torrents(), func(ctx context.Context, t *node.Torrent) error { return t.Resume(ctx) })
}

func (r *request) torrentStartNow() error {
	return r.each(r.torrents(), func(ctx context.Context, t *node.Torrent) error { return r.StartNow(ctx, t) })
}

// requeue returns the method that moves torrents in the queue.
func requeue(to daemon.Where) func(*request) error {
	return func(r *request) error {
		torrents := r.torrents()
		return r.within(func(ctx context.Context) error { return r.Requeue(ctx, torrents, to) })
	}
}

func (r *request) torrentStop() error {
	return r.each(r.torrents(), func(ctx context.Context, t *node.Torrent) error { return t.Pause(ctx) })
}

func (r *request) torrentVerify() error {
	return r.each(r.torrents(), func(ctx context.Context, t *node.Torrent) error { return t.Recheck(ctx) })
}

func (r *request) torrentRemove() error {
	deleteData, _ := r.boolean("delete_local_data")
	return r.each(r.torrents(), func(ctx context.Context, t *node.Torrent) error { return r.Remove(ctx, t, deleteData) })
}

func (r *request) torrentReannounce() error {
	return r.each(r.torrents(), func(_ context.Context, t *node.Torrent) error {
		t.FindPeers()
		return nil
	})
}

func (r *request) torrentSetLocation() error {
	dir, ok := r.text("location")
	if !ok {
		return failf(invalidParams, "no location")
	}
	if dir == "" || dir[0] != '/' {
		return failf(pathNotAbsolute, "new location path is not absolute")
	}
	set := r.SetFolder
	if move, _ := r.boolean("move"); move {
		set = r.Move
	}
	return r.each(r.torrents(), func(ctx context.Context, t *node.Torrent) error { return set(ctx, t, dir) })
}

// renameWithin is how long torrent-rename-path waits until the files are renamed.
const renameWithin = time.Minute

// torrentRenamePath renames a file, a folder or the torrent. Like Transmission, it answers when that
// is done or has failed.
func (r *request) torrentRenamePath() error {
	from, _ := r.text("path")
	name, _ := r.text("name")
	torrents := r.torrents()
	if len(torrents) != 1 {
		return failf(invalidParams, "torrent-rename-path requires 1 torrent")
	}
	t := torrents[0]
	r.w.key("id")
	r.w.integer(r.Number(t))
	r.w.key("name")
	r.w.text(name)
	r.w.key("path")
	r.w.text(from)
	ctx, cancel := context.WithTimeout(r.ctx, renameWithin)
	defer cancel()
	err := renamePath(ctx, t, from, name)
	if err == nil {
		err = t.Settled(ctx)
	}
	switch node.KindOf(err) {
	case node.FaultUsage:
		return failf(systemError, "Invalid argument")
	case node.FaultExists:
		return failf(systemError, "File exists")
	}
	return err
}

func renamePath(ctx context.Context, t *node.Torrent, from, name string) error {
	if from == "" || name == "" || strings.Contains(name, "/") {
		return node.NewFault(node.FaultUsage, errors.New("no path, no name or a name with slashes"), "")
	}
	switch from {
	case t.Root():
		if !strings.Contains(from, "/") {
			return t.RenameTorrent(ctx, name)
		}
	case t.Name():
		if t.Info() == nil { // the metadata is not known yet
			return t.RenameTorrent(ctx, name)
		}
	}
	dir, _ := path.Split(from)
	return t.Rename(ctx, node.Renaming{From: from, To: dir + name})
}

// torrentSet changes torrents. It ignores what seedbed does not have: trackers, bandwidth groups and
// the bandwidth priority.
func (r *request) torrentSet() error {
	var changes []func(context.Context, *node.Torrent) error
	if labels, ok := r.texts("labels"); ok {
		changes = append(changes, func(ctx context.Context, t *node.Torrent) error { return r.SetLabels(ctx, t, labels) })
	}
	if r.hasAny("files_wanted", "files_unwanted") {
		changes = append(changes, r.setFiles)
	}
	if r.hasAny("priority_high", "priority_low", "priority_normal") {
		changes = append(changes, r.setPriorities)
	}
	if r.hasAny("sequential_download", "sequential_download_from_piece") {
		changes = append(changes, func(ctx context.Context, t *node.Torrent) error { return t.SetOrder(ctx, r.order(t.Details().Order)) })
	}
	if limit, ok := r.peerLimit(); ok {
		changes = append(changes, func(ctx context.Context, t *node.Torrent) error { return t.SetMaxPeers(ctx, limit) })
	}
	if r.hasAny("download_limit", "download_limited", "upload_limit", "upload_limited") {
		changes = append(changes, r.setLimits)
	}
	if r.hasAny("seed_ratio_limit", "seed_ratio_mode", "seed_idle_limit", "seed_idle_mode") {
		changes = append(changes, r.setGoals)
	}
	if position, ok := r.integer("queue_position"); ok {
		changes = append(changes, func(ctx context.Context, t *node.Torrent) error { return r.SetQueuePosition(ctx, t, int(position)+1) })
	}
	return r.each(r.torrents(), func(ctx context.Context, t *node.Torrent) error {
		for _, change := range changes {
			if err := change(ctx, t); err != nil {
				return err
			}
		}
		return nil
	})
}

// hasAny reports whether one of the parameters is given.
func (p params) hasAny(names ...string) bool {
	return slices.ContainsFunc(names, func(name string) bool { return p[name] != nil })
}

// setFiles changes which files are wanted. An empty list means all files.
func (r *request) setFiles(ctx context.Context, t *node.Torrent) error {
	info := t.Info()
	if info == nil {
		return node.ErrNoMetadata
	}
	count := info.Stored()
	isWanted := make([]bool, count)
	for _, i := range t.Files() {
		isWanted[info.FileNumber(i)-1] = true
	}
	for _, set := range []struct {
		param string
		to    bool
	}{{"files_unwanted", false}, {"files_wanted", true}} {
		files, ok := r.indices(set.param)
		switch {
		case !ok:
			continue
		case len(files) == 0:
			for i := range isWanted {
				isWanted[i] = set.to
			}
		}
		for _, i := range files {
			if i < 0 || i >= count {
				return &rpcError{code: fileOutOfRange}
			}
			isWanted[i] = set.to
		}
	}
	return t.SetFiles(ctx, selection(isWanted))
}

// filePriorities are the parameters that set the priority of files.
var filePriorities = []struct {
	param string
	to    node.Priority
}{{"priority_high", node.PriorityHigh}, {"priority_low", node.PriorityLow}, {"priority_normal", node.PriorityNormal}}

// setPriorities changes the priorities of files. An empty list means all files.
func (r *request) setPriorities(ctx context.Context, t *node.Torrent) error {
	for _, set := range filePriorities {
		files, ok := r.indices(set.param)
		if !ok {
			continue
		}
		err := t.SetPriority(ctx, set.to, numbersOf(files))
		if node.KindOf(err) == node.FaultSelection {
			return &rpcError{code: fileOutOfRange}
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// numbersOf returns the file numbers, from 1, of indices; nil if there are none.
func numbersOf(indices []int) (numbers []int) {
	for _, i := range indices {
		numbers = append(numbers, i+1)
	}
	return numbers
}

// order returns an order as the parameters change it.
func (p params) order(o node.Order) node.Order {
	if v, ok := p.boolean("sequential_download"); ok {
		o.Sequential = v
	}
	if v, ok := p.integer("sequential_download_from_piece"); ok {
		o.From = int(min(max(v, 0), math.MaxInt32))
	}
	return o
}

// peerLimit returns the limit of peers of a torrent in the parameters. ok is false if there is none.
func (p params) peerLimit() (limit int, ok bool) {
	v, ok := p.integer("peer_limit")
	return int(min(v, math.MaxInt32)), ok && v > 0
}

// selection returns the numbers of the wanted files, from 1; nil means all.
func selection(isWanted []bool) []int {
	numbers := []int{}
	for i, wanted := range isWanted {
		if wanted {
			numbers = append(numbers, i+1)
		}
	}
	if len(numbers) == len(isWanted) {
		return nil
	}
	return numbers
}

// setGoals changes the seeding goals of a torrent. A limit has an effect only if the mode is that of
// the torrent itself. Setting the limit does not change the mode.
func (r *request) setGoals(ctx context.Context, t *node.Torrent) error {
	g := t.Details().Goals
	ratio, _ := r.double("seed_ratio_limit")
	idle, _ := r.integer("seed_idle_limit")
	g.Ratio = goal(r.params, "seed_ratio_mode", g.Ratio, ratio, goalOr(r.settings().SeedRatio, defaultRatio))
	g.Idle = goal(r.params, "seed_idle_mode", g.Idle, time.Duration(min(max(idle, 0), maxMinutes))*time.Minute, goalOr(r.settings().SeedIdle, defaultIdle))
	return t.SetGoals(ctx, g)
}

// The goals of a torrent whose mode was set without a value, as in Transmission.
const (
	defaultRatio = 2.0
	defaultIdle  = 30 * time.Minute
)

// maxMinutes is the longest time: 292 years.
const maxMinutes = math.MaxInt64 / int64(time.Minute)

// goal returns a goal as the parameters change it. value is the new value, or 0, and otherwise is
// used if there is no value.
func goal[T float64 | time.Duration](p params, modeName string, now, value, otherwise T) T {
	mode, ok := p.integer(modeName)
	if !ok {
		mode = goalMode(now)
	}
	switch {
	case mode == unlimited:
		return -1
	case mode != ofTorrent:
		return 0
	case value > 0:
		return value
	}
	return goalOr(now, otherwise)
}

// setLimits changes the limits of a torrent.
func (r *request) setLimits(ctx context.Context, t *node.Torrent) error {
	d := t.Details()
	return t.SetLimits(ctx, rate(r.params, "upload_limit", "upload_limited", d.UpRate), rate(r.params, "download_limit", "download_limited", d.DownRate))
}

// rate returns the limit of a torrent as two parameters change it, in bytes a second. 0 means no
// limit.
func rate(p params, limitName, limitedName string, now int64) int64 {
	isLimited, said := p.boolean(limitedName)
	if !said {
		isLimited = now > 0
	}
	value, given := p.integer(limitName)
	switch {
	case !isLimited:
		return 0
	case given:
		return max(value*kilo, 1) // 0 would mean no limit
	case now > 0:
		return now
	}
	return defaultLimit * kilo
}
