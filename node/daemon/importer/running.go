package importer

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"seedbed/internal/netx"
	"seedbed/internal/statefile"
)

// probeTime is how long another client has to answer on loopback.
const probeTime = 2 * time.Second

// sessionHeader is the header with the session id of Transmission's RPC.
const sessionHeader = "X-Transmission-Session-Id"

// TransmissionRuns reports whether a Transmission with this configuration folder answers at the
// port of its RPC, which it reads from settings.json.
func TransmissionRuns(ctx context.Context, dir string) bool {
	set := map[string]any{}
	b, err := statefile.ReadMax(filepath.Join(dir, "settings.json"), maxSettings)
	if err != nil || json.Unmarshal(b, &set) != nil {
		return false
	}
	port, ok := set["rpc-port"].(float64)
	if !ok {
		if port, ok = set["rpc_port"].(float64); !ok {
			return false
		}
	}
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	url := "http://" + net.JoinHostPort("127.0.0.1", strconv.Itoa(int(port))) + "/transmission/rpc"
	dial := func(ctx context.Context, network, hostPort string) (net.Conn, error) { // to loopback only
		return netx.Outbound{}.DialHost(ctx, network, hostPort, nil)
	}
	transport := &http.Transport{DialContext: dial, DisableKeepAlives: true}
	client := &http.Client{Transport: transport, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	session := ""
	for range 2 {
		const body = `{"method":"session-get","arguments":{"fields":["config-dir"]}}`
		req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader([]byte(body)))
		if err != nil {
			return false
		}
		req.Header.Set(sessionHeader, session)
		resp, err := client.Do(req)
		if err != nil {
			return false
		}
		b, _ := io.ReadAll(io.LimitReader(resp.Body, maxSettings))
		_ = resp.Body.Close()
		switch resp.StatusCode {
		case http.StatusConflict:
			session = resp.Header.Get(sessionHeader)
			continue
		case http.StatusUnauthorized: // the password hides the folder
			return resp.Header.Get("Server") == "Transmission"
		}
		var answer struct {
			Arguments struct {
				Dir string `json:"config-dir"`
			}
		}
		return json.Unmarshal(b, &answer) == nil && sameFolder(answer.Arguments.Dir, dir)
	}
	return false
}

// sameFolder reports whether two paths lead to the same folder.
func sameFolder(a, b string) bool {
	x, err := os.Stat(a)
	if err != nil {
		return false
	}
	y, err := os.Stat(b)
	return err == nil && os.SameFile(x, y)
}

// lockFiles are the places of qBittorrent's lock file, relative to the folder that a user may name.
var lockFiles = []string{
	"config/lockfile", "../config/lockfile", "../../config/lockfile", "qBittorrent/config/lockfile", // of a profile
	"../../../.config/qBittorrent/lockfile", "../../../../.config/qBittorrent/lockfile", // of the default one
}

// QBittorrentRuns reports whether a process holds the lock file of this data folder.
func QBittorrentRuns(_ context.Context, dir string) bool {
	for _, name := range lockFiles {
		if isLocked(filepath.Join(dir, name)) {
			return true
		}
	}
	return false
}
