package main

import (
	"net"
	"os"
)

// notify is the socket of the service manager (systemd's Type=notify, sd_notify(3)). If it
// is empty, nothing is sent.
type notify struct{ path string }

func notifySocket() notify { return notify{os.Getenv("NOTIFY_SOCKET")} }

// say sends one assignment. It ignores errors, because the program can run without a
// service manager.
func (n notify) say(assignment string) {
	if n.path == "" {
		return
	}
	// Package net also maps a leading @ to the abstract namespace.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: n.path, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(assignment))
}
