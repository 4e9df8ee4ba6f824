package qbittorrent

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"golang.org/x/sync/errgroup"

	"seedbed/node"
	"seedbed/node/daemon"
)

// each performs an operation on the torrents that the parameter hashes names. It returns the
// first error. A torrent that leaves the node in the meantime is ignored.
func (c *call) each(do func(context.Context, *node.Torrent) error) error {
	torrents, err := c.named("hashes")
	if err != nil {
		return err
	}
	return c.perform(torrents, do)
}

func (h *handler) perform(torrents []*node.Torrent, do func(context.Context, *node.Torrent) error) error {
	_, err := h.start(func(ctx context.Context) error {
		var g errgroup.Group
		g.SetLimit(atOnce)
		for _, t := range torrents {
			g.Go(func() error {
				err := do(ctx, t)
				if errors.Is(err, node.ErrEnded) || errors.Is(err, node.ErrUnknown) {
					return nil
				}
				return err
			})
		}
		return g.Wait()
	})
	return err
}

func stop(c *call) error {
	return c.each(func(ctx context.Context, t *node.Torrent) error { return t.Pause(ctx) })
}

func start(c *call) error {
	return c.each(func(ctx context.Context, t *node.Torrent) error { return t.Resume(ctx) })
}

func recheck(c *call) error {
	return c.each(func(ctx context.Context, t *node.Torrent) error { return t.Recheck(ctx) })
}

func remove(c *call) error {
	if err := c.require("hashes", "deleteFiles"); err != nil {
		return err
	}
	deleteData := c.boolean("deleteFiles", false)
	return c.each(func(ctx context.Context, t *node.Torrent) error {
		if err := c.Daemon.Remove(ctx, t, deleteData); err != nil {
			return err
		}
		select {
		case <-t.Ended():
		case <-ctx.Done():
		}
		return nil
	})
}

// setLocation moves data, as setSavePath does, whose parameters have other names.
func setLocation(c *call) error { return c.move("hashes", "location") }
func setSavePath(c *call) error { return c.move("id", "path") }

func (c *call) move(hashes, to string) error {
	if err := c.require(to); err != nil {
		return err
	}
	dir := c.get(to)
	if dir == "" {
		return fail(http.StatusBadRequest, "Save path cannot be empty")
	}
	torrents, err := c.named(hashes)
	if err != nil {
		return err
	}
	err = c.perform(torrents, func(ctx context.Context, t *node.Torrent) error { return c.Daemon.Move(ctx, t, dir) })
	var fault *node.Fault
	if errors.As(err, &fault) && fault.Kind == node.FaultUsage { // not in an allowed folder
		return fail(http.StatusConflict, "%v", err)
	}
	return err
}

// setLimit returns a handler that sets the upload or download limit of torrents, in bytes a second.
// Zero and less mean the limit of the settings.
func setLimit(up bool) func(*call) error {
	return func(c *call) error {
		if err := c.require("limit"); err != nil {
			return err
		}
		limit := max(c.integer("limit", 0), 0)
		return c.each(func(ctx context.Context, t *node.Torrent) error {
			d := t.Details()
			if up {
				return t.SetLimits(ctx, limit, d.DownRate)
			}
			return t.SetLimits(ctx, d.UpRate, limit)
		})
	}
}

// limits returns a handler that answers with the limits of torrents, in bytes a second, by infohash.
// A torrent that does not exist has -1.
func limits(up bool) func(*call) error {
	return func(c *call) error {
		if err := c.require("hashes"); err != nil {
			return err
		}
		o := newObject(nil)
		for _, hash := range c.list("hashes", "|") {
			limit := int64(-1)
			if t := c.find(hash); t != nil {
				d := t.Details()
				if limit = d.DownRate; up {
					limit = d.UpRate
				}
			}
			o.int(hash, limit)
		}
		return c.json(o.end())
	}
}

// toggle returns the endpoint that inverts one part of the order of torrents.
func toggle(part func(*node.Order) *bool) func(*call) error {
	return func(c *call) error {
		return c.each(func(ctx context.Context, t *node.Torrent) error {
			o := t.Details().Order
			*part(&o) = !*part(&o)
			return t.SetOrder(ctx, o)
		})
	}
}

// filePrio selects files and sets their priorities. Priority 0 means that they are not wanted.
func filePrio(c *call) error {
	if err := c.require("hash", "id", "priority"); err != nil {
		return err
	}
	priority, err := strconv.Atoi(c.get("priority"))
	switch {
	case err != nil:
		return fail(http.StatusBadRequest, "Priority must be an integer")
	case !slices.Contains([]int{0, 1, 6, 7}, priority):
		return fail(http.StatusBadRequest, "Priority is not valid")
	}
	t, err := c.one()
	if err != nil {
		return err
	}
	x, err := c.contents(t)
	if err != nil {
		return err
	}
	chosen, err := indexes(c.list("id", "|"), len(x.stored))
	if err != nil {
		return err
	}
	wanted := map[int]bool{}
	for _, i := range x.wanted {
		wanted[i] = true
	}
	changed := make([]int, len(chosen)) // file numbers
	isSame := true                      // the selection
	for k, n := range chosen {
		i := x.stored[n]
		isSame = isSame && wanted[i] == (priority > 0)
		wanted[i], changed[k] = priority > 0, n+1
	}
	numbers := []int{}
	for n, i := range x.stored {
		if wanted[i] {
			numbers = append(numbers, n+1)
		}
	}
	if len(numbers) == len(x.stored) {
		numbers = nil
	}
	return c.perform([]*node.Torrent{t}, func(ctx context.Context, t *node.Torrent) error {
		for p, value := range filePriorities {
			if value == int64(priority) && p != node.PriorityLow && len(changed) > 0 {
				if err := t.SetPriority(ctx, p, changed); err != nil {
					return err
				}
			}
		}
		if isSame {
			return nil // selecting restarts the torrent
		}
		return t.SetFiles(ctx, numbers)
	})
}

// reannounce looks for more peers. Announces happen without a request.
func reannounce(c *call) error {
	torrents, err := c.named("hashes")
	for _, t := range torrents {
		t.FindPeers()
	}
	return err
}

// addPeers passes the addresses in the parameter peers to torrents, and answers with how many
// each has taken.
func addPeers(c *call) error {
	if err := c.require("hashes", "peers"); err != nil {
		return err
	}
	given := c.list("peers", "|")
	var peers []netip.AddrPort
	for _, s := range given {
		if a, err := netip.ParseAddrPort(s); err == nil && a.Port() > 0 {
			peers = append(peers, a)
		}
	}
	switch {
	case len(peers) == 0:
		return fail(http.StatusBadRequest, "No valid peers were specified")
	case len(peers) > maxPeers:
		return fail(http.StatusBadRequest, "more than %d peers", maxPeers)
	}
	torrents, err := c.named("hashes")
	if err != nil {
		return err
	}
	o := newObject(nil)
	for _, t := range torrents {
		added := 0
		if t.AddPeers(peers) {
			added = len(peers)
		}
		o.object(t.InfoHash().String(), func(o *object) {
			o.int("added", int64(added))
			o.int("failed", int64(len(given)-added))
		})
	}
	return c.json(o.end())
}

// maxPeers limits the addresses of one request.
const maxPeers = 1000

// requeue returns a handler that moves torrents in the queue.
func requeue(to daemon.Where) func(*call) error {
	return func(c *call) error {
		torrents, err := c.named("hashes")
		if err != nil {
			return err
		}
		if set := c.Daemon.Settings(); !set.Queue.IsOn() {
			return fail(http.StatusConflict, "Torrent queueing must be enabled")
		}
		_, err = c.start(func(ctx context.Context) error { return c.Daemon.Requeue(ctx, torrents, to) })
		return err
	}
}

// setForceStart starts torrents regardless of their places in the queue, or makes them wait for their
// turns again.
func setForceStart(c *call) error {
	if err := c.require("value"); err != nil {
		return err
	}
	if c.boolean("value", false) {
		return c.each(c.Daemon.StartNow)
	}
	return start(c)
}

// setShareLimits changes the seeding goals of torrents. The times are in minutes; -2 means the
// goal of the settings, and -1 none.
func setShareLimits(c *call) error {
	if err := c.require("ratioLimit", "seedingTimeLimit"); err != nil { // the third limit is newer
		return err
	}
	g, err := c.goals()
	if err != nil {
		return err
	}
	return c.each(func(ctx context.Context, t *node.Torrent) error { return t.SetGoals(ctx, g) })
}

// goals returns the seeding goals that the parameters of a request name.
func (c *call) goals() (g node.Goals, err error) {
	if g.Idle, err = minutes(c.integer("inactiveSeedingTimeLimit", useGlobal)); err != nil {
		return g, err
	}
	if g.Time, err = minutes(c.integer("seedingTimeLimit", useGlobal)); err != nil {
		return g, err
	}
	switch r := c.number("ratioLimit", useGlobal); {
	case r == useGlobal:
	case r < 0:
		g.Ratio = -1
	default:
		g.Ratio = max(r, leastRatio)
	}
	return g, nil
}

// The goals for zero. The node takes a goal of 0 as that of the settings.
const (
	leastRatio = 1e-9
	leastTime  = time.Nanosecond
)

// minutes returns a goal of n minutes.
func minutes(n int64) (time.Duration, error) {
	switch {
	case n > maxMinutes:
		return 0, fail(http.StatusBadRequest, "a time of more than %d minutes", maxMinutes)
	case n == useGlobal:
		return 0, nil
	case n < 0:
		return -1, nil
	}
	return max(time.Duration(n)*time.Minute, leastTime), nil
}
