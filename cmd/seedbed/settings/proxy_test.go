package settings

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/internal/netx"
)

func TestProxyFlag(t *testing.T) {
	for text, want := range map[string]string{
		"socks5://proxy.example:1080":       "proxy.example:1080",
		"socks5h://127.0.0.1:9050/":         "127.0.0.1:9050",
		"socks5://[2001:db8::1]:1080":       "[2001:db8::1]:1080",
		"http://proxy.example:8080":         "",
		"proxy.example:1080":                "",
		"socks5://proxy.example":            "",
		"socks5://:1080":                    "",
		"socks5://me:secret@127.0.0.1:1080": "",
	} {
		at := ""
		err := (&proxy{&at}).Set(text)
		if at != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v", text, at, err)
		}
		if err != nil && strings.Contains(err.Error(), "secret") {
			t.Errorf("the error shows the password: %v", err)
		}
	}
}

// A name that comes from a variable that is not set must not mean every interface.
func TestInterfaceFlag(t *testing.T) {
	for name, ok := range map[string]bool{"wg0": true, "eth0.7": true, "": false, " ": false, "a/b": false, "wg0\n": false} {
		to := ""
		if err := (&device{&to}).Set(name); (err == nil) != ok || ok && to != name {
			t.Errorf("%q: %q, %v", name, to, err)
		}
	}
}

// The password comes from a file, and what is wrong with the file never means to go without.
func TestProxyAuthFile(t *testing.T) {
	for content, want := range map[string]netx.Outbound{
		"me:secret":                      {Proxy: "127.0.0.1:1080", Username: "me", Password: "secret"},
		"me:with:colon\r\nmore":          {Proxy: "127.0.0.1:1080", Username: "me", Password: "with:colon"},
		"me":                             {},
		":secret":                        {},
		"":                               {},
		"me:" + strings.Repeat("x", 256): {},
	} {
		path := filepath.Join(t.TempDir(), "auth")
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		v := NewValues()
		v.Config.Outbound.Proxy, v.proxyAuth = "127.0.0.1:1080", path
		out, err := v.Outbound()
		if want == (netx.Outbound{}) {
			if err == nil {
				t.Errorf("%q: no error", content)
			} else if strings.Contains(err.Error(), "secret") {
				t.Errorf("the error shows the password: %v", err)
			}
		} else if err != nil || out != want {
			t.Errorf("%q: %+v, %v", content, out, err)
		}
	}
	v := NewValues()
	v.proxyAuth = "missing"
	if _, err := v.Outbound(); err == nil || !strings.Contains(err.Error(), "--proxy") {
		t.Errorf("without --proxy: %v", err)
	}
	v.Config.Outbound.Proxy = "127.0.0.1:1080"
	if _, err := v.Outbound(); err == nil {
		t.Error("a missing file is no error")
	}
}
