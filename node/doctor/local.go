package doctor

import (
	"errors"
	"net/netip"
	"slices"
	"strings"

	"seedbed/internal/lsd"
	"seedbed/internal/netx"
)

// localNetwork checks on which interfaces local service discovery (BEP 14) can find peers. It
// sends nothing.
func (e *examination) localNetwork() {
	if n := e.v.Config.Node; n != nil && n.Settings().NoLSD {
		e.report(Finding{Step: StepLocal, Text: "peers in the local network are not looked for: the setting lsd is off"})
		return
	}
	var listen []netip.Addr
	for _, a := range e.addrs() {
		listen = append(listen, a.Addr())
	}
	all := []string{} // not null in JSON
	var errs []error
	for _, group := range []netip.AddrPort{lsd.Group4, lsd.Group6} {
		names, err := joinable(group, listen, e.v.Config.Outbound)
		all, errs = append(all, names...), append(errs, err)
	}
	slices.Sort(all)
	all = slices.Compact(all)
	f := Finding{Step: StepLocal, Text: "peers in the local network are found on " + strings.Join(all, ", "), Data: map[string]any{"interfaces": all}}
	err := errors.Join(errs...)
	switch {
	case len(all) > 0: // one family is enough
	case err != nil:
		f.Verdict, f.Text = Notice, "peers in the local network are not found: "+strings.ReplaceAll(err.Error(), "\n", "; ")
		f.Advice = "stop the program that keeps UDP port 6771 for itself, or ignore this if there are no peers in the local network"
	default:
		f.Text = "peers in the local network are not looked for: no network interface with multicast has an address that we listen on"
	}
	e.report(f)
}

// joinable returns the interfaces on which a group can be joined.
func joinable(group netip.AddrPort, listen []netip.Addr, out netx.Outbound) (names []string, err error) {
	m, err := netx.OpenMulticast(group, listen, out)
	if err != nil {
		return nil, err
	}
	defer m.Close()
	names, _, err = m.Refresh()
	return names, err
}
