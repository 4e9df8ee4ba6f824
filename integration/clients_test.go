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
	"sync/atomic"
)

// client is a BitTorrent client that is not ours.
type client interface {
	name() string
	// missing says why it cannot run here; "" if it can.
	missing() string
	// start runs it at ip:6881 with the DHT entered at the given nodes; no
	// DHT without them.
	start(t scope, ip string, dht []string) daemon
}

// daemon is a client that runs. It does one torrent in its life.
type daemon interface {
	// seed shares p's own data and returns when all of it is verified.
	seed(ctx context.Context, p *payload)
	// leech opens a magnet link and returns at once.
	leech(ctx context.Context, magnet, dir string)
	// done returns when all is downloaded and verified.
	done(ctx context.Context)
}

// secrecy is what a client does about encrypted connections.
type secrecy int

const (
	clear secrecy = iota // as little as it can
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

var others = []client{transmission{}, aria2{}, libtorrent{}, rtorrent{}}

// endpoint is ip with the port that every role listens on.
func endpoint(ip string) string { return net.JoinHostPort(ip, "6881") }

var lastPort atomic.Int32

// ownPort is a TCP port for one client's remote control, below those that
// connections take.
func ownPort() string { return strconv.Itoa(6800 + int(lastPort.Add(1))) }

// tempDir goes with everything else when the run ends.
func tempDir(t scope) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "client")
	must(t, err)
	return dir
}
