//go:build !linux && !windows && !darwin && !dragonfly && !freebsd && !netbsd && !openbsd

package portmap

import "errors"

// defaultGateways is not known for this system; --port-map-gateway names the router there.
func defaultGateways() ([]gateway, error) {
	return nil, errors.New("the default routes of this system cannot be read")
}
