package swarm

import (
	"errors"

	"seedbed/internal/netx"
	"seedbed/swarm/engine"
	"seedbed/swarm/mse"
	"seedbed/swarm/wire"
)

// faultOf returns the fault for the error that ended a dial, a handshake or a connection.
func faultOf(err error) engine.Fault {
	var we *wire.Error
	var me *mse.Error
	switch {
	case err == nil:
		return engine.FaultNone
	case errors.As(err, &we):
		if we.Kind == wire.BadHandshake || we.Kind == wire.Short {
			return engine.FaultHandshake
		}
		return engine.FaultProtocol
	case errors.As(err, &me):
		return engine.FaultHandshake
	}
	switch netx.ReasonOf(err) {
	case netx.Refused:
		return engine.FaultRefused
	case netx.TimedOut:
		return engine.FaultTimeout
	case netx.Unreachable:
		return engine.FaultUnreach
	case netx.Self:
		return engine.FaultSelf
	case netx.Stopped, netx.Exhausted:
		return engine.FaultLocal
	}
	return engine.FaultReset
}
