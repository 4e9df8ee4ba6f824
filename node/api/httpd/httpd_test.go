//go:build unix

package httpd_test

import (
	"context"
	"errors"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/node"
	"seedbed/node/api/guard"
	"seedbed/node/api/httpd"
	"seedbed/node/daemon/token"
)

// config returns a configuration whose handler says what the request may do.
func config(t *testing.T) httpd.Config {
	t.Helper()
	store, err := token.Open(filepath.Join(t.TempDir(), "tokens"))
	if err != nil {
		t.Fatal(err)
	}
	says := func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, guard.ScopeOf(r.Context()).String()) }
	return httpd.Config{Handler: http.HandlerFunc(says), Guard: guard.New(guard.Config{Tokens: store})}
}

func get(t *testing.T, network, addr string) (int, string) {
	t.Helper()
	return getPath(t, network, addr, "/")
}

func getPath(t *testing.T, network, addr, path string) (int, string) {
	t.Helper()
	c := http.Client{Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, addr)
	}}}
	resp, err := c.Get("http://localhost" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

// The unix socket belongs to its owner alone and needs no token; TCP needs one.
func TestTheUnixSocketNeedsNoToken(t *testing.T) {
	cfg := config(t)
	cfg.Listen, cfg.Socket = []string{"127.0.0.1:0"}, filepath.Join(t.TempDir(), "deeper", "s")
	s, err := httpd.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if st, err := os.Stat(cfg.Socket); err != nil || st.Mode() != fs.ModeSocket|0o600 {
		t.Errorf("%v, %v", st.Mode(), err)
	}
	if code, body := get(t, "unix", cfg.Socket); code != 200 || body != "admin" {
		t.Errorf("the socket answers %d %q", code, body)
	}
	if code, _ := get(t, "tcp", s.Addrs()[0].String()); code != 401 {
		t.Errorf("TCP answers %d", code)
	}
	again := config(t)
	again.Socket = cfg.Socket
	if _, err := httpd.Open(again); err == nil || !strings.Contains(err.Error(), "another process serves it") {
		t.Errorf("a second server: %v", err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Error(err)
	}
	if _, err := os.Lstat(cfg.Socket); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the socket stays: %v", err)
	}
	if left, err := os.ReadDir(filepath.Dir(cfg.Socket)); err != nil || len(left) != 0 {
		t.Errorf("%v, %v", left, err)
	}
}

// A socket that a killed daemon has left is replaced; any other file is not.
func TestOnlyADeadSocketIsReplaced(t *testing.T) {
	cfg := config(t)
	cfg.Socket = filepath.Join(t.TempDir(), "s")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: cfg.Socket, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	s, err := httpd.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cfg.Socket, []byte("mine"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := httpd.Open(cfg); err == nil || !strings.Contains(err.Error(), "another file has this name") {
		t.Errorf("with a file of that name: %v", err)
	}
	cfg.Socket = filepath.Join(t.TempDir(), strings.Repeat("x", 200))
	var f *node.Fault
	if _, err := httpd.Open(cfg); !errors.As(err, &f) || !strings.Contains(f.Hint(), "--socket") {
		t.Errorf("with a long path: %v", err)
	}
}

// If one socket cannot be opened, none stays open.
func TestAFailedOpenLeavesNothing(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	cfg := config(t)
	cfg.Listeners, cfg.Listen = []net.Listener{free}, []string{taken.Addr().String()}
	if _, err := httpd.Open(cfg); err == nil || !strings.Contains(err.Error(), taken.Addr().String()) {
		t.Errorf("%v", err)
	}
	if _, err := free.Accept(); !errors.Is(err, net.ErrClosed) {
		t.Errorf("the other socket is open: %v", err)
	}
}

// A base URL that ends with a slash, joined with a path, must not be redirected: programs treat that
// as an error. What needs a token still does.
func TestSlashesAreMerged(t *testing.T) {
	cfg := config(t)
	mux := http.NewServeMux()
	mux.HandleFunc("/transmission/rpc", func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.URL.Path) })
	cfg.Handler, cfg.Socket = mux, filepath.Join(t.TempDir(), "s")
	cfg.Listen = []string{"127.0.0.1:0"}
	s, err := httpd.Open(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close(context.Background()) })
	const path = "//transmission///rpc"
	if code, body := getPath(t, "unix", cfg.Socket, path); code != http.StatusOK || body != "/transmission/rpc" {
		t.Errorf("%d %s", code, body)
	}
	if code, _ := getPath(t, "tcp", s.Addrs()[0].String(), path); code != http.StatusUnauthorized {
		t.Errorf("without a token: %d", code)
	}
}
