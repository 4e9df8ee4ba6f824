package process

import (
	"net"
	"os"
)

// A Manager is the service manager that started the process, as in systemd's Type=notify
// (sd_notify(3)).
type Manager struct{ socket string }

// ServiceManager returns the service manager. Without one, nothing is sent.
func ServiceManager() Manager { return Manager{os.Getenv("NOTIFY_SOCKET")} }

// Tell sends one assignment, such as READY=1. It ignores errors, because the program can run
// without a service manager.
func (m Manager) Tell(assignment string) {
	if m.socket == "" {
		return
	}
	// Package net also maps a leading @ to the abstract namespace.
	c, err := net.DialUnix("unixgram", nil, &net.UnixAddr{Name: m.socket, Net: "unixgram"})
	if err != nil {
		return
	}
	defer c.Close()
	_, _ = c.Write([]byte(assignment))
}
