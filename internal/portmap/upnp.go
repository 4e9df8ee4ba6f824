package portmap

import (
	"context"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
	"unicode"

	"github.com/huin/goupnp"
	"github.com/huin/goupnp/dcps/internetgateway2"
	"github.com/huin/goupnp/soap"

	"seedbed/internal/excerpt"
)

const (
	// description is shown in the pages of routers. Some routers refuse an empty one.
	description = "seedbed"
	// requestTimeout is for one HTTP request. Some routers write a mapping to flash memory before
	// they answer.
	requestTimeout = 6 * time.Second
	// maxBody and maxHeader limit an answer in bytes. Descriptions have a few kilobytes.
	maxBody   = 256 << 10
	maxHeader = 16 << 10
	// maxError limits what is shown of an error in bytes.
	maxError = 200
)

// clients waits for the search and returns a client for each gateway that was found.
func (s *search) clients(ctx context.Context) (list []client, err error) {
	select {
	case <-s.done:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if s.err != nil {
		return nil, s.err
	}
	if len(s.locations) == 0 {
		return nil, errNoAnswer
	}
	// The first mapping is announced. So the default gateway comes first, and another device, which
	// anyone on the local network can set up, only after it.
	slices.SortStableFunc(s.locations, func(a, b *url.URL) int { return s.rank(a) - s.rank(b) })
	all := make([]client, len(s.locations))
	errs := make([]error, len(s.locations))
	var asked sync.WaitGroup
	for i, at := range s.locations { // at the same time, because one may be slow
		asked.Go(func() { all[i], errs[i] = s.w.gatewayAt(ctx, at) })
	}
	asked.Wait()
	list = slices.DeleteFunc(all, func(c client) bool { return c == nil })
	if len(list) == 0 {
		return nil, errors.Join(errs...)
	}
	return list, nil
}

// rank is 0 for the default gateway, and 1 for another device.
func (s *search) rank(at *url.URL) int {
	if s.w.isGateway(at) {
		return 0
	}
	return 1
}

// gatewayAt returns the client for the gateway whose description is at this URL.
func (w *worker) gatewayAt(ctx context.Context, at *url.URL) (client, error) {
	device := addrOfURL(at).Addr()
	local := w.search.Addr()
	if !local.IsValid() {
		local = w.local
	}
	hc := localClient(w.m.cfg.system, local, device)
	root, err := describe(ctx, &hc, at)
	if err != nil {
		return nil, fmt.Errorf("the description of %v: %w", device, readable(err))
	}
	if w.local.Is6() {
		return newPinhole(root, at, hc, w.local)
	}
	return newUPnP(ctx, root, at, hc, w.local)
}

// describe reads the description of a device.
func describe(ctx context.Context, hc *http.Client, at *url.URL) (*goupnp.RootDevice, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, at.String(), nil)
	if err != nil {
		return nil, err
	}
	answer, err := hc.Do(request)
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("HTTP status %d", answer.StatusCode)
	}
	return parseDescription(answer.Body, at)
}

// parseDescription reads the description that was found at this URL. Relative URLs in it become
// absolute.
func parseDescription(r io.Reader, at *url.URL) (*goupnp.RootDevice, error) {
	root := new(goupnp.RootDevice)
	d := xml.NewDecoder(r)
	d.DefaultSpace = goupnp.DeviceXMLNamespace
	// Descriptions that claim another charset are ASCII where it matters. Others fail.
	d.CharsetReader = func(_ string, in io.Reader) (io.Reader, error) { return in, nil }
	if err := d.Decode(root); err != nil {
		return nil, err
	}
	base := at
	if root.URLBaseStr != "" {
		var err error
		if base, err = url.Parse(root.URLBaseStr); err != nil {
			return nil, err
		}
	}
	root.SetURLBase(base)
	return root, nil
}

// errElsewhere is the error of a request that would leave the device.
var errElsewhere = errors.New("the device names an address other than its own")

// localTransport sends requests to one device on the local network only, from one address.
type localTransport struct {
	base      http.Transport
	device    netip.Addr
	isRefused bool // nothing listened for the last request
}

// localClient returns an HTTP client for one device. It follows no redirects.
func localClient(sys system, local, device netip.Addr) http.Client {
	t := &localTransport{device: device, base: http.Transport{
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to, err := netip.ParseAddrPort(addr)
			if err != nil {
				return nil, err
			}
			return sys.dialTCP(ctx, local, to)
		},
		// Simple servers serve one connection at a time.
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxHeader,
	}}
	return http.Client{Transport: t, Timeout: requestTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (t *localTransport) RoundTrip(r *http.Request) (*http.Response, error) {
	if addrOfURL(r.URL).Addr() != t.device {
		return nil, errElsewhere
	}
	answer, err := t.base.RoundTrip(r)
	t.isRefused = errors.Is(err, syscall.ECONNREFUSED)
	if err == nil {
		answer.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(answer.Body, maxBody), answer.Body}
	}
	return answer, err
}

// explain returns errGone for the error of a request if nothing listened for it: goupnp keeps only the
// text of an error.
func (t *localTransport) explain(err error) error {
	if err != nil && t.isRefused {
		return errGone
	}
	return err
}

// wanConnection is what the services WANIPConnection:1, WANIPConnection:2 and WANPPPConnection:1
// have in common.
type wanConnection interface {
	AddPortMappingCtx(ctx context.Context, remoteHost string, external uint16, protocol string, internal uint16, client string, enabled bool, description string, lease uint32) error
	DeletePortMappingCtx(ctx context.Context, remoteHost string, external uint16, protocol string) error
	GetExternalIPAddressCtx(ctx context.Context) (string, error)
	GetSpecificPortMappingEntryCtx(ctx context.Context, remoteHost string, external uint16, protocol string) (internal uint16, client string, enabled bool, description string, lease uint32, err error)
}

// upnpClient is a client of UPnP's WANIPConnection or WANPPPConnection.
type upnpClient struct {
	*localTransport
	wan         wanConnection
	local       netip.Addr
	external    netip.Addr
	isPermanent bool // the router takes only mappings without an end
}

func newUPnP(ctx context.Context, root *goupnp.RootDevice, at *url.URL, hc http.Client, local netip.Addr) (client, error) {
	var found []wanConnection
	// An error means only that the device lacks the service.
	v2, _ := internetgateway2.NewWANIPConnection2ClientsFromRootDevice(root, at)
	for _, c := range v2 {
		c.SOAPClient.HTTPClient = hc
		found = append(found, c)
	}
	v1, _ := internetgateway2.NewWANIPConnection1ClientsFromRootDevice(root, at)
	for _, c := range v1 {
		c.SOAPClient.HTTPClient = hc
		found = append(found, c)
	}
	ppp, _ := internetgateway2.NewWANPPPConnection1ClientsFromRootDevice(root, at)
	for _, c := range ppp {
		c.SOAPClient.HTTPClient = hc
		found = append(found, c)
	}
	// A device may have several connections, of which one is up.
	err := errors.New("the device has no internet connection")
	for _, wan := range found[:min(len(found), maxDevices)] {
		c := &upnpClient{localTransport: hc.Transport.(*localTransport), wan: wan, local: local}
		if e := c.askAddress(ctx); e != nil {
			err = e
			continue
		}
		return c, nil
	}
	return nil, err
}

// askAddress asks for the external address.
func (c *upnpClient) askAddress(ctx context.Context) error {
	text, err := c.wan.GetExternalIPAddressCtx(ctx)
	if err != nil {
		return readable(c.explain(err))
	}
	ip, err := netip.ParseAddr(text)
	if err != nil || !ip.Is4() || ip.IsUnspecified() {
		return errors.New("the device has no external address")
	}
	c.external = ip
	return nil
}

func (c *upnpClient) method() Method            { return UPnP }
func (c *upnpClient) router() netip.Addr        { return c.device }
func (c *upnpClient) checkEvery() time.Duration { return time.Minute }
func (c *upnpClient) renewEvery() time.Duration { return maxLease }
func (c *upnpClient) close()                    {}

func (c *upnpClient) mapPort(ctx context.Context, p Protocol, internal, external uint16) (grant, error) {
	// Many routers replace a mapping of another device without a word.
	port, holder, _, _, _, err := c.wan.GetSpecificPortMappingEntryCtx(ctx, "", external, p.String())
	if err == nil && holder != "" && (holder != c.local.String() || port != internal) {
		return grant{}, errConflict
	}
	g := grant{internal, netip.AddrPortFrom(c.external, external), lease}
	if !c.isPermanent {
		err = c.add(ctx, p, g)
		if code := faultOf(err); code == faultOnlyPermanent || code == faultArguments {
			c.isPermanent = true
		}
	}
	if c.isPermanent {
		g.lease = 0
		err = c.add(ctx, p, g)
	}
	switch faultOf(err) {
	case faultConflict, faultOtherMechanism:
		return grant{}, errConflict
	}
	return g, readable(c.explain(err))
}

func (c *upnpClient) add(ctx context.Context, p Protocol, g grant) error {
	return c.wan.AddPortMappingCtx(ctx, "", g.external.Port(), p.String(), g.internal, c.local.String(), true, description, uint32(g.lease/time.Second))
}

func (c *upnpClient) unmapPort(ctx context.Context, p Protocol, g grant) error {
	return c.wan.DeletePortMappingCtx(ctx, "", g.external.Port(), p.String())
}

func (c *upnpClient) check(ctx context.Context, tcp grant) error {
	before := c.external
	if err := c.askAddress(ctx); err != nil {
		return err
	}
	port, holder, _, _, _, err := c.wan.GetSpecificPortMappingEntryCtx(ctx, "", tcp.external.Port(), TCP.String())
	switch {
	case faultOf(err) == faultNoEntry, err == nil && (holder != c.local.String() || port != tcp.internal), c.external != before:
		return errLost
	case faultOf(err) != 0: // the router does not answer such questions
		return nil
	}
	return c.explain(err)
}

// Error codes of UPnP: WANIPConnection:2, 2.5.16 and UDA 1.1, 3.2.2; WANIPv6FirewallControl:1, 2.4.
const (
	faultAction         = 401
	faultArguments      = 402
	faultFailed         = 501
	faultNotAuthorized  = 606
	faultFirewallOff    = 702
	faultNoPinholes     = 703
	faultNoSuchPinhole  = 704
	faultNoEntry        = 714
	faultConflict       = 718
	faultSamePort       = 724
	faultOnlyPermanent  = 725
	faultTableFull      = 728
	faultOtherMechanism = 729
)

var faults = map[int]string{
	faultAction: "it does not support this request", faultArguments: "it finds the request malformed", faultFailed: "it failed",
	faultNotAuthorized: "it does not allow this host to map ports", faultFirewallOff: "its IPv6 firewall is off, so nothing has to be opened",
	faultNoPinholes: "it does not allow ports to be opened", faultSamePort: "it maps a port only to the same port, which is taken",
	faultTableFull: "it has no room for more mappings",
}

// faultOf returns the UPnP error code of an error, or 0.
func faultOf(err error) int {
	var f *soap.SOAPFaultError
	if errors.As(err, &f) {
		return f.Detail.UPnPError.Errorcode
	}
	return 0
}

// readable returns an error in our own words: what the router writes is not shown to the user.
func readable(err error) error {
	code := faultOf(err)
	switch {
	case err == nil:
		return nil
	case faults[code] != "":
		return errors.New("the router refuses: " + faults[code])
	case code != 0:
		return fmt.Errorf("the router refuses with code %d", code)
	case errors.As(err, new(*soap.SOAPFaultError)):
		return errors.New("the router refuses")
	case errors.Is(err, errGone), errors.Is(err, context.Canceled), errors.Is(err, context.DeadlineExceeded):
		return err
	}
	// goupnp puts the whole answer into the text.
	return errors.New(excerpt.Of(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, err.Error()), maxError))
}
