//go:build !linux

package netx

import "net"

// Elsewhere one of the sockets of a group gets everything.
const canSpread = false

func spread(*net.UDPConn, bool, int) error { return nil }

type meter struct{}

// Fill implements Filler: not known here.
func (u *udpConn) Fill() float64 { return 0 }
