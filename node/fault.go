package node

import (
	"errors"
	"fmt"

	"seedbed/internal/netx"
	"seedbed/swarm/storage"
)

// FaultKind classifies what holds a torrent up or ended it.
type FaultKind uint8

const (
	FaultOther      FaultKind = iota
	FaultFull                 // no space
	FaultExists               // a file that is not ours is in the way
	FaultPermission           // a file or folder may not be read or written
	FaultVanished             // a file is gone, shorter than it was or changed by others
	FaultIO                   // the disk failed
	FaultIncomplete           // data given to seed is not whole
	FaultNetwork              // no socket to be had
	FaultSelection            // files were selected that the torrent does not have
	FaultUsage                // what was asked for makes no sense
	FaultConflict             // somebody else publishes under the same key
	FaultBusy                 // another process downloads into the same files
)

// Fault is an error in a person's terms: the sentence, and what to do.
type Fault struct {
	Kind FaultKind
	Err  error
	hint string
}

// NewFault returns a Fault; hint may be "".
func NewFault(kind FaultKind, err error, hint string) *Fault {
	return &Fault{Kind: kind, Err: err, hint: hint}
}

func (f *Fault) Error() string { return f.Err.Error() }
func (f *Fault) Unwrap() error { return f.Err }

// Hint is what to do about it, or "".
func (f *Fault) Hint() string { return f.hint }

// usageFault is an error of a configuration that makes no sense.
func usageFault(err error) error { return &Fault{Kind: FaultUsage, Err: err} }

// NetworkFault returns an error of netx as a Fault.
func NetworkFault(err error) error {
	f := &Fault{Kind: FaultNetwork, Err: err}
	var ne *netx.Error
	if errors.As(err, &ne) {
		f.hint = ne.Hint
	}
	return f
}

// asFault puts storage's errors into a person's terms.
func asFault(err error) error {
	var have *Fault
	var se *storage.Error
	if err == nil || errors.As(err, &have) || !errors.As(err, &se) {
		return err
	}
	kinds := map[storage.Kind]FaultKind{
		storage.Full:        FaultFull,
		storage.Exists:      FaultExists,
		storage.Permission:  FaultPermission,
		storage.Vanished:    FaultVanished,
		storage.Truncated:   FaultVanished,
		storage.Changed:     FaultVanished,
		storage.IO:          FaultIO,
		storage.TooManyOpen: FaultIO,
		storage.Busy:        FaultBusy,
	}
	return &Fault{Kind: kinds[se.Kind], Err: err, hint: se.Hint()}
}

// savingFault is asFault for what went wrong while a torrent was saved for the last time.
// A file that something else changed is no failure of saving: nothing is claimed of it.
func savingFault(err error) error {
	var f *Fault
	err = asFault(err)
	if errors.As(err, &f) && f.Kind == FaultVanished {
		f.hint = "it is hashed again the next time"
		return f
	}
	return fmt.Errorf("saving: %w", err)
}
