package dht

import (
	"bytes"
	crand "crypto/rand"

	"seedbed/dht/krpc"
)

// Probe returns a ping with a transaction id that nobody can predict, and a function that
// recognizes the response to it. Both are for hosts whose address is not known yet, so that
// the response may come from any. The ping is that of a read-only node (BEP 43).
func Probe() (ping []byte, isAnswer func([]byte) bool) {
	var t [8]byte
	crand.Read(t[:])
	own := randomID()
	ping = append(ping, "d1:ad2:id20:"...)
	ping = append(ping, own[:]...)
	ping = append(ping, "e1:q4:ping2:roi1e1:t8:"...)
	ping = append(append(ping, t[:]...), "1:y1:qe"...)
	return ping, func(b []byte) bool {
		if !bytes.Contains(b, t[:]) {
			return false
		}
		var m krpc.Message
		return krpc.Parse(b, &m) == nil && m.Y == 'r' && bytes.Equal(m.T, t[:])
	}
}
