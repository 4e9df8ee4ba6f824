package node

import (
	"errors"
	"fmt"

	"seedbed/internal/netx"
	"seedbed/swarm/storage"
)

// FaultKind classifies errors for the user.
type FaultKind uint8

const (
	FaultOther      FaultKind = iota
	FaultFull                 // no space
	FaultExists               // a file that does not belong to the torrent has the same name
	FaultPermission           // no permission to read or write a file or folder
	FaultVanished             // a file is missing, too short or changed by another program
	FaultIO                   // the disk failed
	FaultIncomplete           // data given to seed is incomplete
	FaultNetwork              // no socket could be opened, or an object store does not answer
	FaultSelection            // the selected files do not exist in the torrent
	FaultUsage                // the request is invalid
	FaultConflict             // another publisher uses the same key
	FaultBusy                 // another process downloads to the same files
	FaultMissing              // the data of a torrent is missing

	faultKinds
)

var faultNames = [faultKinds]string{"", "full", "exists", "permission", "vanished", "io", "incomplete", "network", "selection", "usage", "conflict", "busy", "missing"}

// String returns the name of the kind as it is written in JSON; that of FaultOther is empty.
func (k FaultKind) String() string { return nameOf("fault", faultNames[:], uint8(k)) }

// MarshalText implements encoding.TextMarshaler.
func (k FaultKind) MarshalText() ([]byte, error) { return []byte(k.String()), nil }

// UnmarshalText implements encoding.TextUnmarshaler.
func (k *FaultKind) UnmarshalText(b []byte) error {
	i, err := kindOf("fault", faultNames[:], b)
	*k = FaultKind(i)
	return err
}

// KindOf returns the kind of the Fault in err, or FaultOther.
func KindOf(err error) FaultKind {
	var f *Fault
	if errors.As(err, &f) {
		return f.Kind
	}
	return FaultOther
}

// Fault is an error for the user: a message, and what to do about it.
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

// lacksData reports whether a torrent with the fault is in phase Missing.
func (f *Fault) lacksData() bool { return f.Kind == FaultIncomplete || f.Kind == FaultMissing }

// usageFault returns an error about an invalid configuration.
func usageFault(err error) error { return &Fault{Kind: FaultUsage, Err: err} }

// NetworkFault returns a Fault for an error of package netx.
func NetworkFault(err error) error {
	f := &Fault{Kind: FaultNetwork, Err: err}
	var ne *netx.Error
	if errors.As(err, &ne) {
		f.hint = ne.Hint
	}
	return f
}

// asFault returns a Fault for an error of package storage, and any other error unchanged.
func asFault(err error) error {
	var have *Fault
	var se *storage.Error
	var ne *storage.NameError
	if err != nil && !errors.As(err, &have) && errors.As(err, &ne) {
		switch {
		case errors.Is(err, storage.ErrExists):
			return &Fault{Kind: FaultExists, Err: err, hint: "choose another name"}
		case errors.Is(err, storage.ErrNoSuchName):
			return &Fault{Kind: FaultUsage, Err: err, hint: "the list of the files has their names"}
		}
		return unsafeName(ne.Name)
	}
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

// asSavingFault is asFault for an error of the last saving of a torrent. If another program
// has changed a file, the hint says that its data is hashed again.
func asSavingFault(err error) error {
	var f *Fault
	err = asFault(err)
	if errors.As(err, &f) && f.Kind == FaultVanished {
		f.hint = "its data is hashed again at the next start"
		return f
	}
	return fmt.Errorf("cannot save: %w", err)
}
