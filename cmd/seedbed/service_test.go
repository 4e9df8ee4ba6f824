package main

import (
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// manager acts as a script's service manager: it receives the notifications of services.
type manager struct{ c *net.UnixConn }

// notifySocketCmd opens the notification socket: notify-socket
func notifySocketCmd(ts *testscript.TestScript, _ bool, _ []string) {
	// Socket paths must be short, and the script's folder may have a long one.
	dir, err := os.MkdirTemp("", "seedbed")
	ts.Check(err)
	path := filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	ts.Check(err)
	ts.Defer(func() { c.Close(); os.RemoveAll(dir) })
	ts.Setenv("NOTIFY_SOCKET", path)
	ts.Value(manager{}).(*manager).c = c
}

// notifiedCmd waits for a notification: notified ASSIGNMENT
func notifiedCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: notified ASSIGNMENT")
	}
	c := ts.Value(manager{}).(*manager).c
	ts.Check(c.SetReadDeadline(time.Now().Add(patience)))
	b := make([]byte, 1024)
	for {
		n, err := c.Read(b)
		ts.Check(err)
		if string(b[:n]) == args[0] {
			return
		}
	}
}
