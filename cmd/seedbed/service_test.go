package main

import (
	"net"
	"os"
	"path/filepath"
	"time"

	"github.com/rogpeppe/go-internal/testscript"
)

// manager is a script's service manager: it listens to what services say.
type manager struct{ c *net.UnixConn }

// notifySocketCmd opens the socket that services are told of: notify-socket
func notifySocketCmd(ts *testscript.TestScript, _ bool, _ []string) {
	// The names of such sockets are short; the script's folder may be deep.
	dir, err := os.MkdirTemp("", "seedbed")
	ts.Check(err)
	path := filepath.Join(dir, "notify")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	ts.Check(err)
	ts.Defer(func() { c.Close(); os.RemoveAll(dir) })
	ts.Setenv("NOTIFY_SOCKET", path)
	ts.Value(manager{}).(*manager).c = c
}

// notifiedCmd waits for a word of a service: notified ASSIGNMENT
func notifiedCmd(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 1 {
		ts.Fatalf("usage: notified ASSIGNMENT")
	}
	c := ts.Value(manager{}).(*manager).c
	ts.Check(c.SetReadDeadline(time.Now().Add(time.Minute)))
	b := make([]byte, 1024)
	for {
		n, err := c.Read(b)
		ts.Check(err)
		if string(b[:n]) == args[0] {
			return
		}
	}
}
