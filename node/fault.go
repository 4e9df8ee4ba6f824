package node

import (
	"errors"
	"fmt"

	"seedbed/internal/netx"
	"seedbed/swarm/storage"
)

// FaultKind classifies what blocks or has ended a torrent.
type FaultKind uint8

const (
	FaultOther      FaultKind = iota
	FaultFull                 // no space
	FaultExists               // a file that is not ours has the same name
	FaultPermission           // no permission to read or write a file or folder
	FaultVanished             // a file is missing, too short or changed by another program
	FaultIO                   // the disk failed
	FaultIncomplete           // data given to seed is incomplete
	FaultNetwork              // no socket could be opened
	FaultSelection            // the selected files do not exist in the torrent
	FaultUsage                // the request is invalid
	FaultConflict             // another publisher uses the same key
	FaultBusy                 // another process downloads to the same files
)

// Fault is an error for the user: the message, and what to do.
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

// Hint returns what to do about the error, or "".
func (f *Fault) Hint() string { return f.hint }

// usageFault returns an error about an invalid configuration.
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

// asFault turns an error of package storage into one for the user.
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

// savingFault is asFault for an error while a torrent was saved for the last time. A file
// that another program has changed is not such an error: its data is hashed again later.
func savingFault(err error) error {
	var f *Fault
	err = asFault(err)
	if errors.As(err, &f) && f.Kind == FaultVanished {
		f.hint = "it is hashed again the next time"
		return f
	}
	return fmt.Errorf("saving: %w", err)
}
