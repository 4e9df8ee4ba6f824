package fleet

import (
	"errors"
	"fmt"
	"net/netip"
	"strings"
)

// memberlist has only texts for what goes wrong when a node joins. These are parts of them. The test runs each case.
const (
	otherKeyText  = "could decrypt the message"
	noKeyText     = "encryption is not configured"
	theirNoKey    = "remote state is not encrypted"
	otherTypeText = "received invalid msgType"
)

// joinError returns an error that says why the node at an address cannot be joined, and what to do. err is that of memberlist.
func joinError(a netip.AddrPort, err error) error {
	text := err.Error()
	is := func(parts ...string) bool {
		for _, part := range parts {
			if strings.Contains(text, part) {
				return true
			}
		}
		return false
	}
	switch {
	case is(otherKeyText):
		return fmt.Errorf("%s has another key: give all nodes of the fleet the same --fleet-key", a)
	case is(noKeyText):
		return fmt.Errorf("%s has a key, and this node has none: give it the same --fleet-key", a)
	case is(theirNoKey):
		return fmt.Errorf("%s has no key, or is no node of a fleet: check its --fleet-key and its --fleet-listen", a)
	case is(otherTypeText, "msgpack"):
		return fmt.Errorf("%s is no node of a fleet: give the address of its --fleet-listen", a)
	case is("EOF", "connection reset"):
		return fmt.Errorf("%s closes the connection without an answer: check that it is the address of a --fleet-listen, and that the node there has the same --fleet-key", a)
	case is("deadline exceeded", "i/o timeout"):
		return fmt.Errorf("%s does not answer: check that its node runs, and that the TCP and UDP port is open between the nodes", a)
	}
	return errors.New(strings.TrimPrefix(text, "failed to join "+a.String()+": "))
}
