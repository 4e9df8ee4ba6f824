package doctor

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"seedbed/internal/netx"
)

// device reports the network interface that the node is bound to, if it is.
func (e *examination) device() {
	name := e.v.Config.Outbound.Interface
	if name == "" {
		return
	}
	f := Finding{Step: StepInterface, What: name}
	as, err := e.v.Config.Outbound.Addresses()
	as = slices.DeleteFunc(as, netip.Addr.IsLinkLocalUnicast)
	f.Data = map[string]any{"addresses": as}
	var unusable *netx.Error
	switch {
	case errors.As(err, &unusable):
		f.Verdict, f.Text, f.Advice = Bad, unusable.Reason, unusable.Hint
	case len(as) == 0:
		f.Verdict, f.Text, f.Advice = Bad, "has no address, so nothing can be sent", "connect the VPN, or give the interface an address"
	default:
		f.Text = fmt.Sprintf("is up, with the address %s; nothing is sent or received over another one", as[0])
	}
	e.report(f)
}
