package node

import (
	"path/filepath"
	"time"
)

// Details is what the user has chosen for a torrent, and when it was added.
type Details struct {
	Dir              string // the folder that contains the torrent's file or folder, or with Spec.Objects the place in the store
	MoveTo           string // while its files move there; or ""
	FinalDir         string // Spec.FinalDir, until a move has ended
	Labels           []string
	Category         string
	UpRate, DownRate int64     // bytes a second; 0: the limits for each torrent in Settings
	Added            time.Time // zero outside of the session
	Edited           time.Time // of the last change of these details or of the names, in seconds; zero: none in this run
	Place            int64     // in the queue: a smaller one comes first; 0 outside of the session
	Goals            Goals
	Priorities       Priorities
	Order            Order
	MaxPeers         int
	Finished         bool // a seeding goal has paused it
	Reported         bool // SetReported was called
	InStore          bool // Spec.Objects
}

// PathOf returns where something in Dir is, by its path there with slashes, such as Torrent.Root.
func (d *Details) PathOf(name string) string {
	switch {
	case !d.InStore:
		return filepath.Join(d.Dir, filepath.FromSlash(name))
	case name == "" || name == ".":
		return d.Dir
	}
	return d.Dir + "/" + name // filepath.Join would make s3:/ of s3://
}

// Details returns the details of the torrent at this moment.
func (t *Torrent) Details() Details {
	c := &t.control
	c.mu.Lock()
	defer c.mu.Unlock()
	d := Details{Dir: c.spec.Dir, MoveTo: c.moveTo, FinalDir: c.spec.FinalDir, Labels: c.spec.Labels, Category: c.spec.Category, UpRate: c.upRate, DownRate: c.downRate, Goals: c.spec.Goals,
		Priorities: c.spec.Priorities, Order: c.spec.Order, MaxPeers: c.spec.MaxPeers, InStore: c.spec.Objects}
	if d.InStore {
		d.Dir = c.spec.store
	}
	if c.edited != 0 {
		d.Edited = time.Unix(int64(c.edited), 0).UTC()
	}
	if c.entry != nil {
		d.Added, d.Place, d.Finished, d.Reported = time.Unix(c.entry.added, 0).UTC(), c.entry.place, c.entry.finished, c.entry.reported
	}
	return d
}
