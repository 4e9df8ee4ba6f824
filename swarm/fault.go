package swarm

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"seedbed/swarm/engine"
	"seedbed/swarm/wire"
)

// faultOf classifies the error that ended a dial, a handshake or a connection.
func faultOf(err error) engine.Fault {
	var we *wire.Error
	switch {
	case err == nil:
		return engine.FaultNone
	case errors.As(err, &we):
		if we.Kind == wire.BadHandshake || we.Kind == wire.Short {
			return engine.FaultHandshake
		}
		return engine.FaultProtocol
	case errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed):
		return engine.FaultLocal
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded), is(err, timeouts):
		return engine.FaultTimeout
	case is(err, refusals):
		return engine.FaultRefused
	case is(err, unreachables), errors.Is(err, os.ErrPermission):
		return engine.FaultUnreach
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return engine.FaultReset
	}
	var ne net.Error
	if errors.As(err, &ne) && ne.Timeout() {
		return engine.FaultTimeout
	}
	return engine.FaultReset
}

func is(err error, nos []syscall.Errno) bool {
	for _, no := range nos {
		if errors.Is(err, no) {
			return true
		}
	}
	return false
}
