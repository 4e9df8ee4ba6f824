//go:build !linux

package peerconn

import "net"

// poller does not exist here: connections have a pump each.
type poller struct{}

func newPoller() (*poller, error) { return nil, nil }

func (*poller) close() {}

func (*Resources) socket(net.Conn) RawConn { return nil }
