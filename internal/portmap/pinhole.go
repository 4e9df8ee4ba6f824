package portmap

import (
	"context"
	"errors"
	"net/http"
	"net/netip"
	"net/url"
	"time"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
)

// pinholeClient opens our port in the IPv6 firewall of a router (UPnP,
// WANIPv6FirewallControl:1). The addresses are not translated.
type pinholeClient struct {
	*localTransport
	firewall *internetgateway2.WANIPv6FirewallControl1
	local    netip.Addr
	ids      map[Protocol]uint16 // of the pinholes that are open
}

func newPinhole(root *goupnp.RootDevice, at *url.URL, hc http.Client, local netip.Addr) (client, error) {
	found, _ := internetgateway2.NewWANIPv6FirewallControl1ClientsFromRootDevice(root, at) // an error means that there are none
	if len(found) == 0 {
		return nil, errors.New("the device cannot open ports for IPv6")
	}
	found[0].SOAPClient.HTTPClient = hc
	return &pinholeClient{localTransport: hc.Transport.(*localTransport), firewall: found[0], local: local, ids: map[Protocol]uint16{}}, nil
}

func (c *pinholeClient) method() Method            { return UPnP }
func (c *pinholeClient) router() netip.Addr        { return c.device }
func (c *pinholeClient) checkEvery() time.Duration { return time.Minute }
func (c *pinholeClient) renewEvery() time.Duration { return maxLease }
func (c *pinholeClient) close()                    {}

func (c *pinholeClient) mapPort(ctx context.Context, p Protocol, internal, _ uint16) (grant, error) {
	g := grant{internal, netip.AddrPortFrom(c.local, internal), lease}
	if id, ok := c.ids[p]; ok {
		err := c.firewall.UpdatePinholeCtx(ctx, id, uint32(lease/time.Second))
		if faultOf(err) != faultNoSuchPinhole {
			return g, readable(c.explain(err))
		}
		delete(c.ids, p)
	}
	id, err := c.firewall.AddPinholeCtx(ctx, "", 0, c.local.String(), internal, uint16(p), uint32(lease/time.Second))
	if err == nil {
		c.ids[p] = id
	}
	return g, readable(c.explain(err))
}

func (c *pinholeClient) unmapPort(ctx context.Context, p Protocol, _ grant) error {
	id, ok := c.ids[p]
	if !ok {
		return nil
	}
	delete(c.ids, p)
	return c.firewall.DeletePinholeCtx(ctx, id)
}

// check renews the pinhole for TCP, because a router need not answer other questions about it.
func (c *pinholeClient) check(ctx context.Context, _ grant) error {
	err := c.firewall.UpdatePinholeCtx(ctx, c.ids[TCP], uint32(lease/time.Second))
	if faultOf(err) == faultNoSuchPinhole {
		return errLost
	}
	return readable(c.explain(err))
}
