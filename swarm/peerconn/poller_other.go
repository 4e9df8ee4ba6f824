//go:build !linux

package peerconn

import "net"

// poller is not available on this system: each connection uses a pump.
type poller struct{}

func newPoller() (*poller, error) { return nil, nil }

func (*poller) close() {}

func (*Resources) socket(net.Conn) RawConn { return nil }
