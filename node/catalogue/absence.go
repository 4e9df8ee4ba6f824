package catalogue

import "time"

// An object that a listing lacks need not have gone: the listing may have failed, somebody may have moved the whole folder,
// or the store may have lost its index for a while. So
//
//   - a listing that ends with an error removes nothing,
//   - a torrent is removed when all complete listings of absentTime lack it,
//   - and if all or more than half of the catalogue is absent at once, when they do for manyAbsentTime.
//
// A restart begins the time anew.
const (
	absentTime     = 2 * time.Minute
	manyAbsentTime = time.Hour
	// fewAbsent is how many may be absent at once if others are not.
	fewAbsent = 10
)

// absence counts the entries that a complete listing lacks.
type absence struct{ known, absent int }

// isSuspicious reports whether so many are absent that the listing may be wrong.
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

// noteAbsence notes that a complete listing at a time in Unix seconds lacks the entry.
func (e *entry) noteAbsence(now uint32) {
	if e.absent == 0 {
		e.absent = max(now, 1)
	}
}

// isGone reports whether the entry has been absent for long enough.
func (e *entry) isGone(now uint32, patience time.Duration) bool {
	return e.absent != 0 && time.Duration(int64(now)-int64(e.absent))*time.Second >= patience
}
