//go:build !darwin && !linux && !openbsd

package swarm

import "net"

// rawIO is for systems whose sockets can be asked without waiting.
type rawIO struct{}

func newRawIO(net.Conn, func() []byte, func()) *rawIO { return nil }

func (*rawIO) read() (int, error)                { panic("swarm: no raw sockets here") }
func (*rawIO) tryWrite([]byte) (int, error)      { panic("swarm: no raw sockets here") }
func (*rawIO) tryWriteVec([][]byte) (int, error) { panic("swarm: no raw sockets here") }
