// Package exit turns the errors of commands into exit codes and into messages with advice
// for a person.
//
// A command returns an ordinary error, or one made by Fail, which has an exit code and a
// hint. CodeOf finds the exit code of either.
package exit

import (
	"context"
	"errors"
	"io/fs"

	"seedbed/cmd/seedbed/report"
	"seedbed/internal/netx"
	"seedbed/internal/objectstore"
	"seedbed/internal/statefile"
	"seedbed/internal/userfile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/keys"
)

// Code is the exit status of the process. The numbers are those of aria2, so that scripts
// written for it keep working; docs/manual.md lists them.
type Code int

const (
	OK         Code = 0
	Unknown    Code = 1
	Timeout    Code = 2
	NotFound   Code = 3  // a given file or folder does not exist
	Network    Code = 6  // no socket could be opened
	Unfinished Code = 7  // stopped by a signal before everything was complete
	DiskFull   Code = 9  // not enough disk space
	SameHash   Code = 12 // another process has the torrent open or writes its files
	Exists     Code = 13 // an existing file does not belong to the torrent
	Open       Code = 15 // no permission to open an existing file
	IO         Code = 17 // the disk failed
	Bencode    Code = 25 // a .torrent file that does not parse
	Torrent    Code = 26 // a .torrent file that parses but is invalid
	Magnet     Code = 27 // an invalid magnet link
	Usage      Code = 28 // wrong flags or arguments
	Hash       Code = 32 // data is missing or fails its hash
)

// An Error is an error message for a person, with advice and an exit code.
type Error struct {
	code Code
	hint string
	err  error

	misused bool // made by Misuse
}

func (e *Error) Error() string { return e.err.Error() }
func (e *Error) Unwrap() error { return e.err }

// Hint returns the advice, or else the hint of the cause.
func (e *Error) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	return report.Hint(e.err)
}

// Fail returns err with an exit code and advice. With an empty hint, the advice is that of
// err itself.
func Fail(code Code, hint string, err error) error {
	return &Error{code: code, hint: hint, err: err}
}

// Misuse returns err, which describes wrong flags or arguments, with its exit code. If err
// has no advice, SeeHelp adds some.
func Misuse(err error) error {
	return &Error{code: Usage, misused: true, err: err}
}

// SeeHelp returns err. If it is a Misuse without advice, the advice is to see the help of
// the command with this name, such as "seedbed get".
func SeeHelp(err error, command string) error {
	var e *Error
	if errors.As(err, &e) && e.misused && report.Hint(err) == "" {
		e.hint = "see " + command + " --help"
	}
	return err
}

// CodeOf returns the exit code for an error; err is not nil.
func CodeOf(err error) Code {
	var u *Error
	var f *node.Fault
	var m *magnet.Error
	var t *metainfo.Error
	var k *keys.Error
	var n *netx.Error
	var stopped *userfile.StoppedError
	var kind *userfile.KindError
	switch {
	case errors.As(err, &u):
		return u.code
	case errors.As(err, &f):
		return faultCodes[f.Kind]
	case errors.As(err, &stopped):
		return Unfinished
	case errors.As(err, &n):
		return Network
	case objectstore.KindOf(err) != 0:
		return storeCodes[objectstore.KindOf(err)]
	case errors.Is(err, node.ErrLocked), errors.Is(err, statefile.ErrLocked):
		return SameHash
	case errors.As(err, &m):
		return Magnet
	case errors.As(err, &t):
		return Torrent
	case errors.Is(err, context.DeadlineExceeded):
		return Timeout
	case errors.Is(err, fs.ErrNotExist):
		return NotFound
	case errors.Is(err, fs.ErrPermission):
		return Open
	case errors.As(err, &k), errors.As(err, &kind), errors.Is(err, userfile.ErrTooLarge):
		return Usage
	}
	return Unknown
}

var storeCodes = map[objectstore.Kind]Code{
	objectstore.Unavailable: Network,
	objectstore.NotFound:    NotFound,
	objectstore.Changed:     Hash,
	objectstore.Denied:      Open,
	objectstore.Unsupported: Usage,
	objectstore.Elsewhere:   Usage,
}

// OfFault returns the exit code for a kind of fault.
func OfFault(k node.FaultKind) Code {
	if c, ok := faultCodes[k]; ok {
		return c
	}
	return Unknown
}

var faultCodes = map[node.FaultKind]Code{
	node.FaultFull:       DiskFull,
	node.FaultExists:     Exists,
	node.FaultPermission: Open,
	node.FaultVanished:   NotFound,
	node.FaultIO:         IO,
	node.FaultIncomplete: Hash,
	node.FaultNetwork:    Network,
	node.FaultSelection:  Usage,
	node.FaultUsage:      Usage,
	node.FaultConflict:   Unknown,
	node.FaultBusy:       SameHash,
	node.FaultMissing:    NotFound,
}
