package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"seedbed/cmd/seedbed/exit"
	"seedbed/internal/dnstest"
)

// A publication is named by a domain: followed, downloaded and shown by it. The key is pinned until a
// change is accepted, and a file of that name comes first.
func TestAPublicationHasAName(t *testing.T) {
	const name, record = "site.example", "_btpk.site.example"
	const other = "btpk=1e267e045c1abcb9af26df782a048a1cfd2d26e6db23ff5026b213ce037301bf"
	o := newPrinted(t)
	_, boot := ring(t, 4)
	dir := t.TempDir()
	t.Chdir(dir)
	zone := dnstest.Start(t)
	o.common = []string{"--listen", "127.0.0.1:0", "--bootstrap", boot, "--state", "publisher"}
	writeFile(t, "site/index.html", []byte("hello"))
	o.online("published", exit.OK, "publish", "site", "--key", "site")
	at := o.publish("site")
	key, _ := o.run("", exit.OK, "key", "list", "--state", "publisher")["key"]["public_key"].(string)
	dns := []string{"--state", "reader", "--resolver", zone.Addr}
	reader := append([]string{"--listen", "127.0.0.1:0", "--bootstrap", boot, "--peer", at}, dns...)
	run := func(until string, code exit.Code, args ...string) map[string]map[string]any {
		t.Helper()
		return o.run(until, code, append(args, reader...)...)
	}

	got := o.run("", exit.OK, "publish", "--dns-record", name, "--key", "site", "--state", "publisher", "--resolver", zone.Addr)["dns_record"]
	text, _ := got["text"].(string)
	if got["state"] != "missing" || got["name"] != record || text != "btpk="+key {
		t.Errorf("the record to add: %v", got)
	}
	run("", exit.NotFound, "follow", name)
	zone.Set(record, "v=spf1 -all", text)
	if got := o.run("", exit.OK, "publish", "--dns-record", name, "--key", "site", "--state", "publisher", "--resolver", zone.Addr)["dns_record"]; got["state"] != "right" {
		t.Errorf("the record that was added: %v", got)
	}
	add := []string{"add", name, "--state", filepath.Join(dir, "other"), "--resolver", zone.Addr}
	said := o.run("", exit.Network, add...)["error"] // it is resolved, and no daemon runs
	if text, _ := said["error"].(string); !strings.Contains(text, "daemon") {
		t.Errorf("add: %v", said)
	}
	run("current", exit.OK, "follow", name)
	if b, err := os.ReadFile(filepath.Join(name, "current", "site", "index.html")); string(b) != "hello" {
		t.Errorf("%q, %v", b, err)
	}
	if got := o.run("", exit.OK, "follow", "--history", name, "--state", "reader")["follow_history"]; got["versions"] == nil {
		t.Errorf("the versions of a name: %v", got)
	}
	if got := run("", exit.OK, "get", name, "--at", "1", "-d", "first"); got["complete"] == nil {
		t.Errorf("version 1 of a name: %v", got)
	}
	run("", exit.NotFound, "get", name, "--at", "2", "-d", "second")

	zone.Set(record, other)
	said = run("", exit.Unknown, "follow", name)["error"]
	if text, _ := said["error"].(string); !strings.Contains(text, key) || !strings.Contains(text, other) || !strings.Contains(said["hint"].(string), "--accept-change") {
		t.Errorf("another key: %v", said)
	}
	run("", exit.Unknown, "get", name, "-d", "got")
	zone.Set(record)
	if got := run("", exit.OK, "get", name, "-d", "got"); got["warning"] == nil || got["complete"] == nil {
		t.Errorf("a name without a record any more: %v", got)
	}
	zone.Set(record, other)
	show := func() string {
		public, _ := o.run("", exit.OK, append([]string{"show", "--no-dht", name, "--accept-change"}, dns...)...)["show"]["public_key"].(string)
		return public
	}
	if public := show(); "btpk="+public != other {
		t.Errorf("after --accept-change: %s", public)
	}
	zone.Set(record, text)
	if public := show(); public != key {
		t.Errorf("after --accept-change: %s", public)
	}

	if err := os.RemoveAll(name); err != nil {
		t.Fatal(err)
	}
	writeFile(t, name, []byte("d4:infod6:lengthi5e4:name1:x12:piece lengthi16384e6:pieces20:aaaaaaaaaaaaaaaaaaaaee"))
	if got := o.run("", exit.OK, append([]string{"show", "--no-dht", name}, dns...)...)["show"]; got["name"] != "x" {
		t.Errorf("a file of that name: %v", got)
	}
}
