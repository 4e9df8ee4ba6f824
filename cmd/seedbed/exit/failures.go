package exit

import (
	"fmt"

	"seedbed/cmd/seedbed/report"
)

// Failures collects the failures of several torrents. The command reports each one when it
// happens, and ends with the error that Result returns.
type Failures struct {
	Count int
	First error // nil if there are none
}

// Add records a failure.
func (f *Failures) Add(err error) {
	if f.Count++; f.First == nil {
		f.First = err
	}
}

// Result returns the error of a command with total torrents.
func (f *Failures) Result(total int) error { return f.ResultOf(total, "torrent") }

// ResultOf returns the error of a command with total items, or nil if none failed. With one
// item it is the failure itself. Otherwise it says how many failed and has the exit code of
// the first failure. what is the singular noun for an item.
func (f *Failures) ResultOf(total int, what string) error {
	if f.Count == 0 || total == 1 {
		return f.First
	}
	return f.Counted(total, what)
}

// Counted is like ResultOf, but says how many failed even with one item, for a failure that has
// been reported.
func (f *Failures) Counted(total int, what string) error {
	if f.Count == 0 {
		return nil
	}
	return Fail(CodeOf(f.First), "see the messages above", fmt.Errorf("%d of %s failed", f.Count, report.Plural(total, what)))
}
