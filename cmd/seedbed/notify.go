package main

import (
	"net"
	"os"
)

// notify is the socket on which a service manager waits for news (systemd's
// Type=notify, sd_notify(3)); without one nothing is said.
type notify struct{ path string }

func notifySocket() notify { return notify{os.Getenv("NOTIFY_SOCKET")} }

// say sends one assignment. A manager that does not listen is no reason to stop.
func (n notify) say(assignment string) {
	if n.path == "" {
		return
	}
	// A name that begins with @ is of the abstract namespace, for net too.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(assignment))
}
