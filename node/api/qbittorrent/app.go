package qbittorrent

import (
	"errors"
	"net/http"
	"runtime"
	"strconv"

	"seedbed/node/api/guard"
)

func login(c *call) error {
	err := c.Guard.Login(c.w, c.r, c.get("password"))
	switch {
	case err == nil, guard.ScopeOf(c.r.Context()) > 0:
		return c.text("Ok.")
	case errors.Is(err, guard.ErrTooMany):
		return fail(http.StatusForbidden, "Your IP address has been banned after too many failed authentication attempts.")
	}
	return c.text("Fails.")
}

func logout(c *call) error {
	c.Guard.Logout(c.w, c.r)
	return nil
}

func buildInfo(c *call) error {
	o := newObject(nil)
	o.str("seedbed", c.Version)
	for _, library := range []string{"qt", "libtorrent", "boost", "openssl", "zlib"} {
		o.str(library, "")
	}
	o.int("bitness", strconv.IntSize)
	o.str("platform", runtime.GOOS)
	return c.json(o.end())
}

func shutdown(c *call) error {
	c.Shutdown()
	return nil
}
