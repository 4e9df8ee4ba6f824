package netx

import (
	"context"
	"errors"
	"io"
	"net"

	"seedbed/internal/socks5"
)

// Reason classifies why a dial or a connection failed.
type Reason uint8

const (
	Other       Reason = iota
	Refused            // the host exists and nothing listens on the port
	TimedOut           // no answer in time
	Unreachable        // no route, or blocked by a local rule
	Reset              // the other end closed or reset the connection
	Self               // the address is our own
	Exhausted          // this machine lacks a file, port, memory or network interface; says nothing about the peer
	Stopped            // we ended it ourselves
)

// ReasonOf classifies an error of Dial or of a connection.
func ReasonOf(err error) Reason {
	var timeout net.Error
	var refused *socks5.ReplyError
	switch {
	case errors.Is(err, ErrSelf):
		return Self
	case errors.Is(err, ErrNoInterface), errors.Is(err, ErrNoProxy):
		return Exhausted
	case errors.As(err, &refused):
		return reasonOfReply(refused.Reply)
	case errors.Is(err, ErrNoFamily), isUnreachable(err):
		return Unreachable
	case errors.Is(err, context.Canceled), errors.Is(err, net.ErrClosed):
		return Stopped
	case isRefused(err):
		return Refused
	case isReset(err), errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, io.ErrClosedPipe):
		return Reset
	case isExhausted(err), isInUse(err), isNoSuchAddr(err):
		return Exhausted
	case errors.As(err, &timeout) && timeout.Timeout(), isTimedOut(err):
		return TimedOut
	}
	return Other
}

// IsTooLong reports whether a datagram was not sent because its network interface takes no
// packets of that length.
func IsTooLong(err error) bool { return isTooLong(err) }

// reasonOfReply classifies why a proxy did not connect to a peer.
func reasonOfReply(r socks5.Reply) Reason {
	switch r {
	case socks5.Refused:
		return Refused
	case socks5.Expired:
		return TimedOut
	}
	return Unreachable
}

func isAny(err error, targets ...error) bool {
	for _, t := range targets {
		if errors.Is(err, t) {
			return true
		}
	}
	return false
}
