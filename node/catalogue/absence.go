package catalogue

import "time"

// An object that a listing lacks need not have gone: the listing may have failed, somebody may have moved the whole folder,
// or the store may have lost its index for a while. So
//
//   - a listing that ends with an error removes nothing,
//   - a torrent is removed when all complete listings of absentTime lack it,
//   - and if a suspicious part of the catalogue is absent at once, when they do for manyAbsentTime. When some have come back, so
//     that the rest is not suspicious any more, the time of the rest starts at 0 again: it may come back as well.
//
// A restart sets the time to 0. Times are in seconds since Open, because the clock of the machine may be set.
const (
	absentTime     = 2 * time.Minute
	manyAbsentTime = time.Hour
	// fewAbsent is how many may be absent at once if others are not.
	fewAbsent = 10
)

// absence counts the entries that a complete listing lacks.
type absence struct{ known, absent int }

// isSuspicious reports whether so many are absent that the listing may be wrong: all, if they are several, or more than half, if they are
// more than fewAbsent. Users remove one or a few, and do not want to wait for an hour.
func (a absence) isSuspicious() bool {
	return a.absent > 1 && a.absent == a.known || a.absent > fewAbsent && a.absent > a.known/2
}

// patience returns how long an entry must be absent before it is removed.
func (a absence) patience() time.Duration {
	if a.isSuspicious() {
		return manyAbsentTime
	}
	return absentTime
}

// noteAbsence notes that a complete listing lacks the entry.
func (e *entry) noteAbsence(now uint32) {
	if e.absent == 0 {
		e.absent = now
	}
}

// isGone reports whether the entry has been absent for long enough.
func (e *entry) isGone(now uint32, patience time.Duration) bool {
	return e.absent != 0 && time.Duration(now-e.absent)*time.Second >= patience
}

// now returns the time in seconds since Open. It is never 0.
func (c *Catalogue) now() uint32 { return uint32(time.Since(c.opened)/time.Second) + 1 }
