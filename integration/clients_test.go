//go:build linux

package integration

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"sync/atomic"
)

// client is another BitTorrent client.
type client interface {
	name() string
	// missing returns why the client cannot run here, or "" if it can.
	missing() string
	// start runs the client at ip:6881. It joins the DHT at the given nodes; without
	// nodes the DHT is off.
	start(t scope, ip string, dht []string) daemon
}

// daemon is a running client. It handles one torrent.
type daemon interface {
	// seed shares p's own data and returns when all of it is verified.
	seed(ctx context.Context, p *payload)
	// leech opens a magnet link or a .torrent file and returns at once.
	leech(ctx context.Context, torrent, dir string)
	// done returns when everything is downloaded and verified.
	done(ctx context.Context)
}

// secrecy is a client's setting for encrypted connections.
type secrecy int

const (
	plain secrecy = iota // as little encryption as the client permits
	willing
	required
)

func command(name string) string {
	if _, err := exec.LookPath(name); err != nil {
		return fmt.Sprintf("there is no %s command (`make peers` installs it)", name)
	}
	return ""
}

func encode(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return string(b)
}

func isLink(torrent string) bool { return strings.HasPrefix(torrent, "magnet:") }

var others = []client{transmission{}, aria2{}, libtorrent{}, rtorrent{}}

// endpoint returns ip with the port that every client listens on.
func endpoint(ip string) string { return net.JoinHostPort(ip, "6881") }

var lastPort atomic.Int32

// ownPort returns a TCP port for the remote control of one client, below the range of
// outgoing connections.
func ownPort() string { return strconv.Itoa(6800 + int(lastPort.Add(1))) }

// tempDir returns a new folder, which is removed at the end of the run.
func tempDir(t scope) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "client")
	must(t, err)
	return dir
}
