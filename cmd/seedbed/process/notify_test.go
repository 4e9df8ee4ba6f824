package process

import (
	"net"
	"path/filepath"
	"testing"
)

func TestTheServiceManagerGetsMessages(t *testing.T) {
	Manager{}.Tell("READY=1") // without a service manager
	path := filepath.Join(t.TempDir(), "n")
	Manager{path}.Tell("READY=1")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Skip(err)
	}
	defer c.Close()
	Manager{path}.Tell("READY=1")
	b := make([]byte, 100)
	if n, err := c.Read(b); err != nil || string(b[:n]) != "READY=1" {
		t.Fatal(string(b[:n]), err)
	}
}
