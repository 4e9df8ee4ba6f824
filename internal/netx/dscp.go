package netx

import (
	"fmt"
	"net"
	"strconv"

	"golang.org/x/net/ipv4"
	"golang.org/x/net/ipv6"
)

// DSCP is the differentiated services code point of packets (RFC 2474), from 0 to 63. Routers that
// know it treat packets by it. 0 is the default of all traffic.
type DSCP uint8

// LowerEffort is for traffic that should yield to all other (RFC 8622).
const LowerEffort DSCP = 1

const maxDSCP = 63

// String returns the name of d, or its number.
func (d DSCP) String() string {
	switch d {
	case 0:
		return "default"
	case LowerEffort:
		return "le"
	}
	return strconv.Itoa(int(d))
}

// ParseDSCP parses default, le, or a number from 0 to 63.
func ParseDSCP(text string) (DSCP, error) {
	switch text {
	case "default":
		return 0, nil
	case "le":
		return LowerEffort, nil
	}
	n, err := strconv.ParseUint(text, 10, 8)
	if err != nil || n > maxDSCP {
		return 0, fmt.Errorf("%q is neither default nor le nor a number from 0 to %d", text, maxDSCP)
	}
	return DSCP(n), nil
}

// mark makes a TCP or UDP socket send its packets with d. If the system does not allow it, they keep
// the default.
func (d DSCP) mark(c net.Conn) {
	if d == 0 {
		return
	}
	// The upper six bits are the code point, and the system uses the others (ECN).
	if addrPort(c.LocalAddr()).Addr().Is4() {
		_ = ipv4.NewConn(c).SetTOS(int(d) << 2)
	} else {
		_ = ipv6.NewConn(c).SetTrafficClass(int(d) << 2)
	}
}
