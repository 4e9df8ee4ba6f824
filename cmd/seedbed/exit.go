package main

import (
	"context"
	"errors"
	"io/fs"

	"seedbed/cmd/seedbed/report"
	"seedbed/internal/netx"
	"seedbed/internal/statefile"
	"seedbed/magnet"
	"seedbed/magnet/metainfo"
	"seedbed/node"
	"seedbed/node/keys"
)

// exitCode is the exit status of the process. The numbers are those of aria2, so that
// scripts written for it keep working; docs/manual.md lists them.
type exitCode int

const (
	exitOK         exitCode = 0
	exitUnknown    exitCode = 1
	exitTimeout    exitCode = 2
	exitNotFound   exitCode = 3  // a given file or folder does not exist
	exitNetwork    exitCode = 6  // no socket could be opened
	exitUnfinished exitCode = 7  // stopped by a signal before everything was complete
	exitDiskFull   exitCode = 9  // not enough disk space
	exitSameHash   exitCode = 12 // another process has the torrent open, or writes its files
	exitExists     exitCode = 13 // a file that is not ours is in the way
	exitOpen       exitCode = 15 // no permission to open an existing file
	exitIO         exitCode = 17 // the disk failed
	exitBencode    exitCode = 25 // a .torrent file that does not parse
	exitTorrent    exitCode = 26 // a .torrent file that parses but is invalid
	exitMagnet     exitCode = 27 // an invalid magnet link
	exitUsage      exitCode = 28 // wrong flags or arguments
	exitHash       exitCode = 32 // data is missing or fails its hash
)

// A userError is an error message for a person, with advice and an exit code.
type userError struct {
	code exitCode
	hint string
	err  error
}

func (e *userError) Error() string { return e.err.Error() }
func (e *userError) Unwrap() error { return e.err }

// Hint returns the advice, or else the hint of the cause.
func (e *userError) Hint() string {
	if e.hint != "" {
		return e.hint
	}
	return report.Hint(e.err)
}

func fail(code exitCode, hint string, err error) error {
	return &userError{code: code, hint: hint, err: err}
}

func usage(err error) error {
	return fail(exitUsage, "see seedbed help", err)
}

func codeOf(err error) exitCode {
	var u *userError
	var f *node.Fault
	var m *magnet.Error
	var t *metainfo.Error
	var k *keys.Error
	var n *netx.Error
	switch {
	case errors.As(err, &u):
		return u.code
	case errors.As(err, &f):
		return faultCodes[f.Kind]
	case errors.As(err, &n):
		return exitNetwork
	case errors.Is(err, node.ErrLocked), errors.Is(err, statefile.ErrLocked):
		return exitSameHash
	case errors.As(err, &m):
		return exitMagnet
	case errors.As(err, &t):
		return exitTorrent
	case errors.Is(err, context.DeadlineExceeded):
		return exitTimeout
	case errors.Is(err, fs.ErrNotExist):
		return exitNotFound
	case errors.Is(err, fs.ErrPermission):
		return exitOpen
	case errors.As(err, &k):
		return exitUsage
	}
	return exitUnknown
}

var faultCodes = map[node.FaultKind]exitCode{
	node.FaultFull:       exitDiskFull,
	node.FaultExists:     exitExists,
	node.FaultPermission: exitOpen,
	node.FaultVanished:   exitNotFound,
	node.FaultIO:         exitIO,
	node.FaultIncomplete: exitHash,
	node.FaultNetwork:    exitNetwork,
	node.FaultSelection:  exitUsage,
	node.FaultUsage:      exitUsage,
	node.FaultConflict:   exitUnknown,
	node.FaultBusy:       exitSameHash,
}
