//go:build !linux

package netx

import "net"

// On other systems one of the sockets of a group receives everything.
const canSpread = false

func spread(*net.UDPConn, bool, int) error { return nil }

type meter struct{}

// FillLevel implements FillLeveler. The fill level is not known here.
func (u *udpConn) FillLevel() float64 { return 0 }
